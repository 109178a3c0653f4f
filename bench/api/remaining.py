"""What a command was asked for and did not bring, and what is left to others: its exit code."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.engine.options import Options
from bench.errors import Exit
from bench.store import CellEntry


@dataclass(frozen=True)
class Remaining:
    """Cells without numbers, out of ``total``.

    ``ours`` are of those that the command was asked for, ``others`` of the rest.
    """

    ours: int
    others: int
    total: int
    shard: tuple[int, int]

    @property
    def exit_code(self) -> Exit:
        """What was asked for is there, or it is incomplete."""
        return Exit.INCOMPLETE if self.ours else Exit.OK

    @property
    def lines(self) -> list[str]:
        """What to say of the others' part."""
        if not self.others:
            return []
        part, of = self.shard
        own = f"{self.ours} cells of it failed" if self.ours else "complete"
        what = f"shard {part}/{of}: {own}" if of > 1 else f"what --only asks for: {own}"
        whose = "the other shards" if of > 1 else "a run without --only"
        return [f"{what}; {self.others} of {self.total} cells of the suite are left to {whose}"]


def remaining(cells: Sequence[CellEntry], options: Options) -> Remaining:
    """What the run of ``cells`` lacks, for a command with ``options``."""
    labels = [str(c.id.unit) for c in cells]
    asked = set(options.asked(list(dict.fromkeys(labels))))
    lacking = [label for label, c in zip(labels, cells, strict=True) if c.status != "ok"]
    ours = sum(label in asked for label in lacking)
    return Remaining(ours, len(lacking) - ours, len(cells), options.shard)
