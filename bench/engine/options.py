"""How a suite is run: what changes no answer."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from bench import data
from bench.engine.job import default_cache, default_places
from bench.engine.plan import Unit
from bench.errors import UserError
from bench.suite.permission import Permission, permitted


@dataclass(frozen=True)
class Options:
    """How to run, none of which changes an answer.

    ``shard`` (i, n) is the i-th of n parts of the units, from 1.

    ``near`` are the folders, before the data root, from which relative paths in the suite count: see
    bench.data.Places. ``weights_of`` is a reference's file, whose weights, copied to ``kept``, stand for
    training. ``workers``: in how many processes; None leaves it to what cores are free.
    """

    results: Path
    device: str = "cpu"
    only: str = "*"
    shard: tuple[int, int] = (1, 1)
    fresh: bool = False
    save_adversarials: bool = False
    cache: Path = field(default_factory=default_cache)
    data_root: Path | None = None
    executor: Literal["local", "ray"] = "local"
    near: tuple[Path, ...] = ()
    weights_of: Path | None = None
    kept: Path | None = None
    permission: Permission = field(default_factory=partial(permitted, allow_code=False))
    """Which code of the user's own may run; by default what the user's settings say."""
    workers: int | None = None

    @property
    def models(self) -> Path:
        """The cache of trained models."""
        return self.kept or self.cache

    def chosen(self, units: Sequence[Unit]) -> list[Unit]:
        """Those of ``units`` that are to be run here. Raises UserError if ``only`` matches none."""
        asked = set(self.asked([unit.label for unit in units]))
        return [unit for unit in units if unit.label in asked]

    def asked(self, labels: Sequence[str]) -> list[str]:
        """As ``chosen``, of the labels of all units of a suite, in their order."""
        part, of = self.shard
        matching = [label for label in labels if fnmatch.fnmatch(label, self.only)]
        if labels and not matching:
            raise UserError(f"--only {self.only}: matches no unit of this suite; its first is {labels[0]}")
        return matching[part - 1 :: of]

    @property
    def places(self) -> data.Places:
        """Where data sets lie, and decoded images are kept."""
        return default_places(self.data_root, self.cache, self.near)
