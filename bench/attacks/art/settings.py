"""ART's settings file, there before ART is imported.

ART writes it in place when it finds none; of two processes that import ART at that moment for the first time
on a machine, one then fails ("name '_config' is not defined").
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def settle() -> None:
    """Write what ART would write, whole or not at all, where there is nothing yet."""
    home = Path.home()
    folder = (home if os.access(home, os.W_OK) else Path("/tmp")) / ".art"  # noqa: S108 (as ART has it)
    settings = folder / "config.json"
    if settings.exists():
        return
    temporary = folder / f".new-{uuid4().hex}"
    with suppress(OSError):  # ART goes on without, and says so itself
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"ART_DATA_PATH": str(folder / "data")}, indent=4), encoding="utf-8")
        temporary.replace(settings)
