"""A few samples under attack, kept for people to look at.

They are crafted again alone, since no result depends on its company.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench.attacks.spec import carries
from bench.engine.plan import Unit
from bench.engine.runner import Target, UnitResult, run_unit
from bench.store.records import Floats, Ints, Records
from bench.store.strips import Strip, Which

GREY, COLOURS = 1, 3
"""Channels of images that can be looked at."""
SAME = 0.01
"""How far the probability of the true class may be from what was stored.

A GPU computes a small batch in another order.
"""


class OtherAnswerError(Exception):
    """A sample crafted again ends differently: its picture would not be of what was counted."""


def strips(
    unit: Unit, i: int, target: Target, result: UnitResult, asked: Sequence[Which]
) -> Iterator[tuple[Which, Strip]]:
    """The ``asked`` strips of the cell ``i`` of ``unit``, which ``result`` is of.

    None of images that are neither grey nor in colours. Raises OtherAnswerError.
    """
    if target.samples.input_shape[0] not in (GREY, COLOURS):
        return
    records = result.records[i]
    rows = {which: row for which, row in chosen(records).items() if which in asked}
    index = np.array(list(dict.fromkeys(rows.values())), dtype=np.int64)
    if not len(index):
        return
    after = result.images[i][index] if result.images else _again(unit, i, target, records, index)
    for which, row in rows.items():
        before, found = target.samples.take(np.array([row])).x[0], after[list(index).index(row)]
        yield (
            which,
            _strip(row, before, found, float(unit.cells[i].eps) if unit.attack.norm == "linf" else None),
        )


def chosen(records: Records) -> dict[Which, int]:
    """Rows of the attacked samples whose true class has the least probability left, and the median one."""
    attacked = np.flatnonzero(records.clean_pred == records.label)
    order = attacked[np.argsort(records.adv_prob_true[attacked], kind="stable")]
    if not len(order):
        return {}
    found: dict[Which, int] = {"worst": int(order[0])}
    if len(order) > 1:
        found["median"] = int(order[len(order) // 2])
    return found


def _again(unit: Unit, i: int, target: Target, records: Records, index: Ints) -> Floats:
    """The adversarials of the samples at ``index``, at the eps of the cell ``i``.

    They are crafted after those below it where they count.
    """
    shown, below = unit.cells[i], carries(unit.attack)
    cells = [cell for cell in unit.cells if cell is shown or (below and cell.eps < shown.eps)]
    again = run_unit(replace(unit, cells=tuple(cells)), target.only(index), keep_images=True)
    assert again.images is not None  # noqa: S101 (asked for)
    found, images = again.records[cells.index(shown)], again.images[cells.index(shown)]
    gap = np.abs(found.adv_prob_true - records.adv_prob_true[index])
    if (found.adv_pred != records.adv_pred[index]).any() or float(gap.max()) > SAME:
        raise OtherAnswerError(
            f"crafted again alone, it is predicted otherwise (true class {gap.max():.3f} apart)"
        )
    return images


def _strip(row: int, before: Floats, after: Floats, eps: float | None) -> Strip:
    """The strip of one image (1 or 3 x H x W) ``before`` and ``after``.

    ``eps``, or else the largest change, fills half the range.
    """
    change = after - before
    factor = 0.5 / (eps or float(np.abs(change).max()) or 0.5)
    side_by_side = np.concatenate([before, after, 0.5 + factor * change], axis=2)
    pixels = np.rint(255 * np.clip(side_by_side, 0, 1)).astype(np.uint8)
    in_colours = np.broadcast_to(pixels, (COLOURS, *pixels.shape[1:]))
    return Strip(row, factor, np.ascontiguousarray(in_colours.transpose(1, 2, 0)))
