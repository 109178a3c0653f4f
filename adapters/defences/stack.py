"""Defences as they stand around models. No torch here."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.defences.base import Averaging, Combination, Defence, RandomSwitch, Switch, Transform

HERE = __name__.rpartition(".")[0]
VERSION = 1
"""Raised when one of the defences here changes what it does."""


@dataclass(frozen=True)
class Stack:
    """Defences around ``members``: transforms, from the image on, then what brings models together."""

    defences: tuple[Defence, ...]
    members: tuple[str, ...]

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What happens to the image, in order."""
        return tuple(d for d in self.defences if isinstance(d, Transform))

    @property
    def combination(self) -> Combination | None:
        """What brings the members together; None where there is but one."""
        return next((d for d in self.defences if isinstance(d, Averaging | Switch | RandomSwitch)), None)

    @property
    def random(self) -> bool:
        """Whether an image may be answered in more than one way."""
        return any(d.random for d in self.defences)

    @property
    def sampled(self) -> bool:
        """Whether there are so many ways that expectations can only be estimated from draws."""
        return any(t.random for t in self.transforms)

    @property
    def passes(self) -> int:
        """Passes through members that one answer takes."""
        if self.combination is None or isinstance(self.combination, RandomSwitch):
            return 1
        return len(self.members) + getattr(self.combination, "extra_passes", 0)

    @property
    def label(self) -> str:
        """The defences by name, as in ``jpeg + random-switch``."""
        return " + ".join(d.defence for d in self.defences)

    def content_hash(self, members: Sequence[str]) -> str:
        """Names the defended model: defences with all parameters around ``members`` (their content hashes).

        Of a defence from elsewhere the source is part of it.
        """
        said = [[d.model_dump(mode="json"), _source_of(type(d))] for d in self.defences]
        return hashlib.sha256(
            json.dumps(["defended", VERSION, said, list(members)], sort_keys=True).encode()
        ).hexdigest()


def _source_of(kind: type[Defence]) -> str:
    """The sha256 of the file that ``kind`` is written in; empty for those here, which have a version."""
    if kind.__module__.startswith(HERE):
        return ""
    return hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()
