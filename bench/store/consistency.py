"""Whether a cell's columns agree, which no checksum says: what can be derived is derived, and compared.

Rows come out of one softmax and one rule for success (bench.engine.runner), so that they hold on every
machine. What two cells of one model say of the unattacked samples may differ by float32 rounding, between two
machines or batch sizes.
"""

from collections.abc import Hashable, Iterator, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bench.store.checksum import BrokenFileError
from bench.store.records import Attacked, Bools, Clean, Floats, Ints

SLACK = 1e-6
"""How far float32 rounding may carry a distance beyond eps; relative where eps is above 1."""
ROUNDING = 1e-5
"""How far float32 rounding may carry a sum of two probabilities above 1."""
DRIFT = 1e-2
"""How far two machines may disagree on a probability of one model for one image: 100 times what they do."""

Rules = Iterator[tuple[str, Bools]]
"""What must hold, in words, and the samples (N) of which it does not."""


def check_ids(clean: Clean) -> None:
    """Raise BrokenFileError if a sample stands there twice."""
    if len(set(clean.id.tolist())) != len(clean.id):
        raise BrokenFileError("its columns disagree: two rows have the same id")


def check_clean(clean: Clean) -> None:
    """Raise BrokenFileError unless predictions and labels of unattacked samples can be those of one model."""
    _hold(_predictions(clean.label, clean.pred, clean.prob, clean.prob_true), clean.id)


def check_attacked(clean: Clean, found: Attacked, norm: str | None, eps: str | None) -> None:
    """Raise BrokenFileError unless ``found`` can have come of attacking ``clean``.

    The attack is within ``eps`` (as text) in ``norm``.
    """
    _hold(_outcomes(clean, found), clean.id)
    if clean.right is None:
        _hold(_distances(clean.correct, found, norm, _budget(eps)), clean.id)
    else:
        _hold(_chances(clean.right, found), clean.id)
        _hold(_distances(np.ones_like(clean.correct), found, norm, _budget(eps)), clean.id)


def odd_ones(cells: Mapping[str, tuple[Hashable, Clean]]) -> list[str]:
    """Keys of the ``cells`` (key -> model, what it says unattacked) that disagree with most of their model's.

    Where no side has the most cells, nobody knows who is right: all of them.
    """
    sides: dict[Hashable, list[tuple[Clean, list[str]]]] = {}
    for key, (model, clean) in cells.items():
        own = sides.setdefault(model, [])
        side = next((keys for other, keys in own if _agree(other, clean)), None)
        if side is None:
            own.append((clean, [key]))
        else:
            side.append(key)
    return [key for own in sides.values() for key in _minority([keys for _, keys in own])]


def _minority(sides: list[list[str]]) -> list[str]:
    first, *others = sorted(sides, key=len, reverse=True)
    clear = not others or len(first) > len(others[0])
    return [key for keys in (others if clear else sides) for key in keys]


def _agree(a: Clean, b: Clean) -> bool:
    if a is b:
        return True
    same = np.array_equal(a.id, b.id) and np.array_equal(a.label, b.label)
    return same and _close(a.prob, b.prob) and _close(a.prob_true, b.prob_true) and not _flips(a, b).any()


def _close(a: Floats, b: Floats) -> bool:
    return bool((np.abs(a - b) <= DRIFT).all())


def _flips(a: Clean, b: Clean) -> Bools:
    """Samples that only one calls right, though it is not a near tie to the one that calls them wrong."""
    wrong = np.where(a.correct, b.prob - b.prob_true, a.prob - a.prob_true)
    flips: Bools = (a.correct != b.correct) & ((wrong > 2 * DRIFT) | (wrong == 0))
    return flips


def _hold(rules: Rules, ids: npt.NDArray[np.str_]) -> None:
    for what, broken in rules:
        if broken.any():
            example = ids[int(np.argmax(broken))]
            raise BrokenFileError(
                f"its columns disagree: {what} ({int(broken.sum())} of {len(ids)} rows, like {example})"
            )


def _predictions(label: Ints, pred: Ints, prob: Floats, prob_true: Floats, when: str = "clean") -> Rules:
    right = pred == label
    yield f"a label or {when} prediction is not a class", (label < 0) | (pred < 0)
    yield (
        f"{when} probabilities are not 0 <= prob_true <= prob <= 1",
        ~((prob_true >= 0) & (prob_true <= prob) & (prob <= 1 + ROUNDING)),
    )
    told = np.where(right, prob != prob_true, prob + prob_true > 1 + ROUNDING)
    yield f"{when} probabilities do not fit the {when} prediction", told


def _outcomes(clean: Clean, found: Attacked) -> Rules:
    wrong = found.pred != clean.label
    yield "success is not what the predictions say", found.success != (clean.correct & wrong)
    yield from _predictions(clean.label, found.pred, found.prob, found.prob_true, "adv")
    changed = (found.pred != clean.pred) | (found.prob != clean.prob) | (found.prob_true != clean.prob_true)
    if clean.right is None:
        yield "a sample that is wrong unattacked has another adversarial prediction", ~clean.correct & changed


def _chances(before: Floats, found: Attacked) -> Rules:
    """Of a random model, of which a sample that is mostly wrong may be attacked too."""
    for name, chance in (("clean_right", before), ("adv_right", found.right), ("adv_choice", found.choice)):
        if chance is None:
            yield f"{name} is missing", np.ones(len(before), dtype=np.bool_)
        else:
            yield f"{name} is not a probability", ~((chance >= 0) & (chance <= 1))


def _distances(attacked: Bools, found: Attacked, norm: str | None, budget: float | None) -> Rules:
    for name, far in found.distances.items():
        yield f"{name} is not a distance", ~((far >= 0) & np.isfinite(far))
        yield f"{name} of a sample that was not attacked is not 0", ~attacked & (far != 0)
        if name == norm and budget is not None:
            yield f"{name} is above eps", far > budget
    if found.queries is not None:
        yield "queries are not counts", (found.queries < 0) | (~attacked & (found.queries != 0))
    if found.distance is not None:
        yield "distance is none", ~(found.distance >= 0) | (~attacked & (found.distance != 0))


def _budget(eps: str | None) -> float | None:
    if eps is None:
        return None
    try:
        value = float(Fraction(eps))
    except (ValueError, ZeroDivisionError):
        raise BrokenFileError(f"its eps is {eps!r}") from None
    return value + SLACK * max(1.0, value)
