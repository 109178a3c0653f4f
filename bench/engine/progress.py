"""Progress on stderr: bars on a terminal, one line per finished unit elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from adapters.training.curves import Epoch
from adapters.training.curves import Progress as Told

QUIET = 30.0
"""Seconds after which a training that is not watched on a terminal says again how far it is."""

log = logging.getLogger(__name__)


class Progress:
    """Shows training and attacking as they go."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def training(self, title: str) -> Told:
        """The callback of one training, which gets (epochs done, epochs, how the last one went) after each epoch."""
        started = time.monotonic()
        self.bars.start()
        task = self.bars.add_task(f"training {title}", total=None)
        self._say(f"training {title}")  # the first epoch may take minutes
        said = started

        def epoch(done: int, total: int, last: Epoch) -> None:
            nonlocal said
            if done < total and time.monotonic() - said > QUIET:
                said = time.monotonic()
                self._say(f"training {title}: epoch {done} of {total}, {last}, {said - started:.0f} s")
            self.bars.update(task, completed=done, total=total, description=f"training {title}  {last}")
            if done == total:
                self._say(f"trained {title}: {total} epochs, {last}, {time.monotonic() - started:.0f} s")
                self._end(task)

        return epoch

    @contextmanager
    def units(self, total: int) -> Iterator[Callable[[str], None]]:
        """Yields a callback that takes the label of each finished unit."""
        started = time.monotonic()
        self.bars.start()
        task = self.bars.add_task("attacking", total=total)
        done = 0

        def finished(label: str) -> None:
            nonlocal done
            done += 1
            left = (time.monotonic() - started) / done * (total - done)
            self.bars.update(task, completed=done)
            self._say(f"[{done}/{total}] {label}, about {left:.0f} s left")

        try:
            yield finished
        finally:
            self._end(task)

    def _say(self, line: str) -> None:
        if not self.console.is_terminal:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _end(self, task: int) -> None:
        self.bars.remove_task(task)  # type: ignore[arg-type]
        if not self.bars.tasks:  # models may be trained side by side
            self.bars.stop()


def on_stderr() -> Progress:
    """Shown on stderr, unless only errors are to be said there."""
    return Progress(Console(stderr=True, force_jupyter=False, quiet=not log.isEnabledFor(logging.WARNING)))
