"""A trust check as one object, and the checks of other packages.

No torch here: what measures is imported when it measures.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

log = logging.getLogger(__name__)

Grade = Literal["pass", "warn", "fail", "unchecked"]
Of = Literal["model", "attack"]
ENTRY_POINT = "bench.trust_checks"
"""Where another package registers a Check."""


@dataclass(frozen=True)
class Check:
    """One trust check.

    Attributes:
        name: In evidence and findings.
        grade: From what was measured, and on how many samples, to the grade. Its docstring says what is
            asked, by which thresholds, and after an empty line where that is from.
        measure: "module:function", given a ``bench.trust.probe.Probe`` of a model, or a
            ``bench.trust.controls.Control`` of an attack, and giving evidence; imported only when a model is
            examined. Empty where several checks share what is measured.
        applies: "module:function" of the same, whether it can be asked here; empty: everywhere.
        of: What it is asked of: each model, or each attack on it.
        cost: Passes through the model that one sample takes, where it is asked of the model.
        poor: A very poor outcome: with fewer samples than it takes to fail it, a pass proves nothing.

    """

    name: str
    grade: Callable[[float, int], Grade]
    measure: str = ""
    applies: str = ""
    of: Of = "model"
    cost: int = 0
    poor: float = 1.0

    @property
    def source(self) -> str:
        """Where it is from: what its grade's docstring says after the first paragraph."""
        return " ".join((inspect.getdoc(self.grade) or "").partition("\n\n")[2].split())


def with_others(built_in: tuple[Check, ...]) -> Mapping[str, Check]:
    """``built_in`` by name, and after them the checks that other packages have registered."""
    found = {check.name: check for check in built_in}
    for point in sorted(entry_points(group=ENTRY_POINT), key=lambda p: p.name):
        found |= {check.name: check for check in _loaded(point, found)}
    return found


def _loaded(point: EntryPoint, found: Mapping[str, Check]) -> Iterator[Check]:
    """The check of another package; none, with a warning, if that is broken: all others still work."""
    try:
        made = point.load()
        reason = f"it is a {type(made).__name__}, not a Check"
    except Exception as error:  # noqa: BLE001 (whatever a stranger's module raises)
        made, reason = None, f"{type(error).__name__}: {error}"
    if isinstance(made, Check) and made.name not in found:
        yield made
        return
    taken = f"the name '{made.name}' is taken" if isinstance(made, Check) else reason
    log.warning("the trust check %s (%s) is left out: %s", point.name, point.value, taken)
