"""With which versions all tests of this release passed together, and how an installed one stands to them.

The file beside this module is written by ``python -m tests.tested_versions``, in an environment with the
oldest releases that the project declares, and in one with the newest.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.version import Version

FILE = Path(__file__).with_name("tested_versions.json")


@dataclass(frozen=True)
class Range:
    """The versions of one package, or of Python, in the oldest and in the newest environment."""

    oldest: str
    newest: str

    def __str__(self) -> str:
        return self.oldest if self.oldest == self.newest else f"{self.oldest} to {self.newest}"

    def outside(self, version: str) -> str | None:
        """Whether ``version`` is "newer" or "older" than what was tested; None where it lies within that.

        It is compared as far as the tested one is written: 3.11.9 is a 3.11.
        """
        found, oldest, newest = (Version(one).release for one in (version, self.oldest, self.newest))
        if found[: len(newest)] > newest:
            return "newer"
        return "older" if found[: len(oldest)] < oldest else None

    def beside(self, version: str) -> str:
        """2.9.1 (tested: 2.7.0 to 2.14.1), or 2.15.0, newer than what was tested (2.7.0 to 2.14.1)."""
        if (where := self.outside(version)) is None:
            return f"{version} (tested: {self})"
        return f"{version}, {where} than what was tested ({self})"


@cache
def environments() -> dict[str, dict[str, str]]:
    """By "oldest" and "newest", in that order: the versions that all tests passed with; none if untested."""
    written = json.loads(FILE.read_text(encoding="utf-8"))
    return {which: written[which] for which in ("oldest", "newest") if written.get(which)}


@cache
def ranges() -> dict[str, Range]:
    """By package, and for "python"."""
    found: dict[str, Range] = {}
    for versions in environments().values():
        for name, version in versions.items():
            found[name] = Range(found[name].oldest if name in found else version, version)
    return found
