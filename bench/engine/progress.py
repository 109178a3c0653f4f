"""Progress on stderr: one line on a terminal, which stays; elsewhere one line for each finished unit."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from adapters.training.curves import Epoch
from adapters.training.curves import Progress as Told
from bench.engine.plan import Unit
from bench.engine.progress_line import Estimate, progress_line
from bench.pulse import Step

QUIET = 30.0
"""Seconds after which a training that is not watched on a terminal says again how far it is."""
QUERIES_OF_A_GRADIENT = 3
"""Answers that cost as much: a gradient goes back too, and is of fewer images at once."""
REFRESH = 4
"""How often in a second the line is drawn anew."""

log = logging.getLogger(__name__)


class Progress:
    """Shows training, attacking and checking as they go."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._watched = console.is_terminal and not console.is_dumb_terminal and not console.quiet
        self._at: dict[str, str] = {}
        self._epochs: dict[str, Estimate] = {}
        self._attacks: Estimate | None = None
        self._live = Live(
            get_renderable=self._line, console=console, transient=True, refresh_per_second=REFRESH
        )  # prints above itself what is written to stdout and stderr meanwhile

    def training(self, title: str) -> Told:
        """A training's callback, which gets (epochs done, epochs, how the last one went) after each epoch."""
        started = said = time.monotonic()
        what, estimate = f"training {title}", Estimate({title: (0, 1.0)})
        self._epochs[what] = estimate
        self._begin(what, what)
        self._say(what)  # the first epoch may take minutes

        def epoch(done: int, total: int, last: Epoch) -> None:
            nonlocal said
            now = time.monotonic()
            estimate.reach(title, done / total)
            if done < total:
                self._begin(what, f"{what}  epoch {done}/{total}, {last}")
                if now - said > QUIET:
                    said = now
                    self._say(f"{what}: epoch {done} of {total}, {last}, {now - started:.0f} s")
                return
            self._say(f"trained {title}: {total} epochs, {last}, {now - started:.0f} s")
            self._epochs.pop(what, None)
            self._end(what)

        return epoch

    @contextmanager
    def units(self, pending: Sequence[Unit]) -> Iterator[Callable[[str], None]]:
        """Yields a callback that takes the label of each finished unit of those that are ``pending``."""
        estimate = Estimate({unit.label: (len(unit.cells), _weight(unit)) for unit in pending})
        self._attacks = estimate if pending else None
        self._show()

        def finished(label: str) -> None:
            done, left = estimate.finish(label), estimate.left() or 0.0
            self._say(f"[{done}/{len(pending)}] {label}, about {left:.0f} s left")
            self._end(label)

        try:
            yield finished
        finally:
            self._attacks = None
            self._at.clear()
            self._show()

    def at(self, step: Step) -> None:
        """Something is at ``step``."""
        if step.over:
            self._end(step.what)
            return
        if self._attacks is not None:
            self._attacks.reach(step.what, step.share)
        self._begin(step.what, str(step))

    def refresh(self) -> None:
        """Draw the line as it is now."""
        self._live.refresh()

    def _begin(self, what: str, text: str) -> None:
        self._at[what] = text
        self._show()

    def _end(self, what: str) -> None:
        self._at.pop(what, None)
        self._show()

    def _show(self) -> None:
        """The line stands there while there is something to say."""
        if not self._watched:
            return
        if self._at or self._attacks is not None:
            self._live.start()
        else:
            self._live.stop()

    def _line(self) -> Text:
        estimate = self._attacks or next(iter(list(self._epochs.values())), None)
        at = list(self._at.values()) or (["loading"] if estimate and estimate.share < 1 else [])
        return Text(progress_line(at, estimate, self.console.width), end="")

    def _say(self, line: str) -> None:
        if not self._watched:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _weight(unit: Unit) -> float:
    """About how much ``unit`` costs beside others: what its attack asks about an image, at all its eps."""
    from bench.attacks.cost import cost
    from bench.attacks.spec import changes_with_eps

    asked = cost(unit.attack)
    once = asked.gradients + asked.queries / QUERIES_OF_A_GRADIENT
    return once * (len(unit.cells) if changes_with_eps(unit.attack) else 1)


def on_stderr() -> Progress:
    """Shown on stderr, unless only errors are to be said there.

    What is drawn anew needs a terminal: notebooks and CI set FORCE_COLOR where there is none.
    """
    console = Console(
        stderr=True,
        force_jupyter=False,
        force_terminal=sys.stderr.isatty(),
        quiet=not log.isEnabledFor(logging.WARNING),
    )
    return Progress(console)
