"""What a comparison says: rows, problems, and one Verdict, which is printed and gives the exit code."""

from dataclasses import dataclass
from typing import Literal

from bench.comparison.cause import Cause
from bench.errors import Exit
from bench.ids import CellId, RowId
from bench.scoring.trust import Grade
from bench.suite.gate import Gate, Limits

Metric = Literal["asr", "robust_accuracy", "accuracy"]
Outcome = Literal["failed", "changed", "not shown", "same"]
Word = Literal["pass", "fail", "incomplete", "changed", "no change shown"]
EXITS: dict[Word, Exit] = {
    "pass": Exit.OK, "fail": Exit.GATE_FAILED, "incomplete": Exit.INCOMPLETE, "changed": Exit.OK,
    "no change shown": Exit.OK,
}  # fmt: skip


@dataclass(frozen=True)
class Flip:
    """A sample whose outcome changed. ``gained``: the metric counts it now and did not before."""

    sample: str
    gained: bool


@dataclass(frozen=True)
class Row:
    """One cell in both runs.

    ``before`` and ``after`` are the metric over the same ``n`` samples: for "asr" those predicted correctly
    in both runs, else all shared ones; ``difference`` is (gained - lost) / n. ``p_value`` is exact McNemar's;
    ``p_adjusted`` is Holm's over all rows, None where nothing but the code differs (``exact``): there noise
    is no explanation and every flip is a change. ``expected``: one of the models is random, and its samples
    count as often as it is right on them; then the p-value is the exact sign-flip test's, and ``gained`` and
    ``lost`` count the samples that do so more, or less. ``copied``: the second run computed nothing here, it
    took over what the first one has, so that they cannot differ. ``needed`` is how many one-sided flips a
    change takes to be shown. ``trust`` is the cell's grade in the second run, None for a clean accuracy and
    where no grade is known. ``causes`` are empty unless samples flipped.
    """

    cell: RowId
    metric: Metric
    n: int
    before: float
    after: float
    gained: int
    lost: int
    p_value: float
    p_adjusted: float | None
    exact: bool
    needed: int
    limits: Limits
    expected: bool = False
    copied: bool = False
    trust: Grade | None = None
    causes: tuple[Cause, ...] = ()
    flips: tuple[Flip, ...] = ()

    @property
    def difference(self) -> float:
        """After minus before, as a share."""
        if self.expected:
            return self.after - self.before
        return (self.gained - self.lost) / self.n

    @property
    def changed(self) -> bool:
        """A change is shown: any flip of an exact row, else a significant difference that is large enough."""
        if self.p_adjusted is None:
            return self.gained + self.lost > 0
        large = abs(self.difference) >= self.limits.min_effect or self._vanishes(self.after)
        return self.p_adjusted < self.limits.alpha and large

    def _vanishes(self, after: float) -> bool:
        """With ``after`` instead of ``before``, an attack's success would be all but gone."""
        return self.metric == "asr" and after < self.limits.floor * self.before

    @property
    def can_fall(self) -> bool:
        """If nothing were left of it, that would be shown as a change."""
        large = self.before >= self.limits.min_effect or self._vanishes(0.0)
        return self.before > 0 if self.exact else large and round(self.before * self.n) >= self.needed

    @property
    def fails(self) -> bool:
        """It is a change in a direction that the gate stops."""
        rising = self.gained > 0 if self.exact else self.difference > 0
        falling = self.lost > 0 if self.exact else self.difference < 0
        worse, better = (rising, falling) if self.metric == "asr" else (falling, rising)
        return self.changed and {"any": True, "worse": worse, "better": better}[self.limits.direction]

    def outcome(self, *, gated: bool) -> Outcome:
        """The row in a word: "not shown" where samples flipped but no change is shown."""
        if self.changed:
            return "failed" if gated and self.fails else "changed"
        return "not shown" if self.gained + self.lost else "same"

    @property
    def blind(self) -> bool:
        """No change could have been shown, however large."""
        return not self.exact and self.n < self.needed


@dataclass(frozen=True)
class Problem:
    """A cell without a comparison, and why."""

    cell: RowId
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A whole comparison. ``word`` is what is printed; ``exit_code`` follows from it and from nothing else.

    ``new`` are cells that only the second run has: a gate knows nothing of them until its reference has them.
    ``started`` is when the second run began, in ISO 8601 without a zone.
    """

    suite: str
    before: str
    after: str
    gated: bool
    gate: Gate
    rows: tuple[Row, ...]
    missing: tuple[Problem, ...]
    errors: tuple[Problem, ...]
    not_comparable: tuple[Problem, ...]
    new: tuple[CellId, ...]
    drifts: tuple[Cause, ...]
    started: str = ""

    @property
    def word(self) -> Word:
        """The verdict.

        A failed gate stays failed whatever else is missing; a gate that could not fail does not pass.
        """
        if self.gated and self.failures:
            return "fail"
        if not self.rows or self.missing or self.errors or self.not_comparable or (self.gated and self.new):
            return "incomplete"
        if self.gated:
            return "pass"
        return "changed" if self.changes else "no change shown"

    @property
    def exit_code(self) -> Exit:
        """The exit code of ``word``."""
        return EXITS[self.word]

    @property
    def judged(self) -> tuple[Row, ...]:
        """The rows not also listed as not comparable, as those in which nothing could have been shown are."""
        listed = {problem.cell for problem in self.not_comparable}
        return tuple(row for row in self.rows if row.cell not in listed)

    @property
    def changes(self) -> tuple[Row, ...]:
        """The rows in which a change is shown."""
        return tuple(row for row in self.rows if row.changed)

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that the gate stops."""
        return tuple(row for row in self.rows if row.fails)

    @property
    def causes(self) -> dict[Cause, int]:
        """Why changed rows moved: each cause with how many rows it bears on, the most frequent first."""
        found = [cause for row in self.changes for cause in row.causes]
        return dict(
            sorted(((cause, found.count(cause)) for cause in dict.fromkeys(found)), key=lambda item: -item[1])
        )
