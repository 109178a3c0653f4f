"""What the progress line says: what is being done, how much of all that is, and the time that is left."""

import time
from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size

NARROW = 100
"""Columns of a terminal from which there is room for a bar."""
UNKNOWN = "-:--"


class Estimate:
    """How far parts are (name -> its cells and its weight among all), and how long the rest takes."""

    def __init__(self, parts: Mapping[str, tuple[int, float]]) -> None:
        self._parts = parts
        self._shares = dict.fromkeys(parts, 0.0)
        self._finished: set[str] = set()
        self._started = self._reached = time.monotonic()
        self._left: float | None = None

    def reach(self, name: str, share: float) -> None:
        """So much of the part ``name`` is done, from 0 to 1; of anything else, nothing is noted."""
        if name not in self._parts:
            return
        self._shares[name] = share
        self._reached = time.monotonic()
        if (done := self.share) > 0:
            self._left = (self._reached - self._started) / done * (1 - done)

    def finish(self, name: str) -> int:
        """The part ``name`` has ended: how many have. One of which all is done may still be at storing it."""
        self.reach(name, 1.0)
        self._finished.add(name)
        return len(self._finished)

    @property
    def share(self) -> float:
        """How much of everything is done, by weight."""
        everything = sum(weight for _, weight in self._parts.values())
        return sum(self._shares[name] * weight for name, (_, weight) in self._parts.items()) / everything

    @property
    def cells(self) -> tuple[int, int]:
        """Cells that are done, of all."""
        done = sum(int(self._shares[name] * cells + 1e-9) for name, (cells, _) in self._parts.items())
        return done, sum(cells for cells, _ in self._parts.values())

    def left(self) -> float | None:
        """Seconds that are left, if the rest goes as what is done went; None before anything is done."""
        return None if self._left is None else max(0.0, self._left - (time.monotonic() - self._reached))


def progress_line(at: Sequence[str], estimate: Estimate | None, width: int) -> str:
    """One line of ``width`` columns: the first of what is being done, and how many others there are.

    Then come the cells, and the time left. Where something stands depends on the width alone, so that nothing
    moves about.
    """
    right = _right(estimate)
    bar = _bar(estimate, (width - NARROW) // 2 + 10) if width >= NARROW else ""
    room = max(0, width - cell_len(right) - cell_len(bar))
    return set_cell_size(_fitted(at, room) + bar + right, width)


def _fitted(at: Sequence[str], room: int) -> str:
    """The first of ``at`` and the count of others in ``room`` columns; long names are cut, counts are not."""
    if not at:
        return " " * room
    what, gap, counts = at[0].partition("  ")
    others = f" (+{len(at) - 1} more)" if len(at) > 1 else ""
    tail = f"{gap}{counts}{others}"
    short = (
        what
        if cell_len(what) + cell_len(tail) < room
        else set_cell_size(what, max(0, room - cell_len(tail) - 2)) + "…"
    )
    return set_cell_size(short + tail, room)


def _right(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    done, cells = estimate.cells
    count = f"{done:>{len(str(cells))}}/{cells} cells" if cells else f"{100 * estimate.share:3.0f} %"
    left = (
        f"{_clock(estimate.left()):>7} left" if estimate.share < 1 else ""
    )  # what is checked then takes time too
    return f" {count} {left:12}"


def _bar(estimate: Estimate | None, width: int) -> str:
    if estimate is None:
        return ""
    full = round(estimate.share * width)
    return f" {'━' * full}{'╌' * (width - full)} "


def _clock(seconds: float | None) -> str:
    """1:02:03, or 2:03."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
