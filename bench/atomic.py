"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

from bench.errors import StorageError

TEMPORARY = ".new-"
"""How the name of a file begins that is not whole yet."""
RESUME = "what is stored stays; mend this and give the same command again"


def write_atomically(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write ``data`` to a temporary name beside ``target``, sync unless losing it would cost little, rename.

    Raises StorageError if there is no room or no permission; nothing is then left behind, and ``target`` is as it was.
    """
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror}; {RESUME}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
