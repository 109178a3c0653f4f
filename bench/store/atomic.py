"""Files that appear whole or not at all."""

import os
from pathlib import Path
from uuid import uuid4

from bench.errors import StorageError

TEMPORARY = ".new-"
"""How the name of a file begins that is not whole yet."""
RESUME = "what is stored stays; fix this and run the same command again"


def write_atomically(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write ``data`` to a temporary name beside ``target``, sync unless losing it would cost little, rename.

    Raises StorageError if there is no room or no permission; nothing is then left behind, and ``target`` is
    as it was.
    """
    temporary = target.with_name(f"{TEMPORARY}{uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # not by tempfile, whose files nobody else may read
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror}; {RESUME}") from None
    finally:
        temporary.unlink(missing_ok=True)
