"""Writes down the versions of this environment, in which all tests have just passed, for `bench doctor`.

`python -m tests.tested_versions oldest` in the environment of the oldest releases that pyproject.toml
declares, `python -m tests.tested_versions newest` in that of the newest.
"""

import json
import platform
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from bench.cli.versions import FILE

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
WHICH = ("oldest", "newest")


def needed() -> list[Requirement]:
    """What every installation of the project has."""
    return [Requirement(line) for line in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]]


def optional() -> list[Requirement]:
    """What an extra of the project brings."""
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    return [Requirement(line) for lines in extras.values() for line in lines]


def installed() -> dict[str, str]:
    """The version of Python, without its patch, and of every package that the project declares.

    Raises ValueError where that is not what it declares.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for one in (*needed(), *optional()):
        try:
            found[one.name] = Version(version(one.name)).public
        except PackageNotFoundError:
            continue
    if wrong := list(_wrong(found)):
        raise ValueError(f"this is not what pyproject.toml declares: {'; '.join(wrong)}")
    return found


def _wrong(found: dict[str, str]) -> Iterator[str]:
    yield from (f"{one.name} is not installed" for one in needed() if one.name not in found)
    for one in (*needed(), *optional()):
        if one.name in found and found[one.name] not in one.specifier:
            yield f"{one.name} is {found[one.name]}, not {one.specifier}"


def written(which: str, file: Path = FILE) -> None:
    """Puts this environment's versions down in ``file`` as ``which``, and leaves the other."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known[which] = installed()
    file.write_text(json.dumps({w: known[w] for w in WHICH if w in known}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] not in [[which] for which in WHICH]:
        sys.exit(f"python -m tests.tested_versions {'|'.join(WHICH)}")
    try:
        written(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
