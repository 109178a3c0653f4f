"""What is committed of runs: the reference of each suite, and what is published of one."""

from pathlib import Path

from bench.errors import UserError
from bench.store.atomic import write_atomically


def reference_file(results: Path, suite: str) -> Path:
    """Where the reference of ``suite`` is, or would be.

    Raises UserError if that name leads out of the folder.
    """
    if Path(suite).name != suite:
        raise UserError(f"'{suite}' is not the name of a suite; this run was not made by `bench run`")
    return results / "reference" / f"{suite}.json"


def weights_folder(file: Path) -> Path:
    """Where the weights of the reference ``file`` are, if it keeps any."""
    return file.with_suffix(".weights")


def write_reference(results: Path, suite: str, text: str) -> Path:
    """Store ``text`` as the reference of ``suite`` and return its file."""
    file = reference_file(results, suite)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())
    return file


def write_published(folder: Path, suite: str, text: str) -> Path:
    """Store ``text`` as what is published of a run of ``suite`` in ``folder``, and return its file."""
    file = folder / f"{suite}.json"
    write_atomically(file, text.encode())
    return file
