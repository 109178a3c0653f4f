"""A unit in parts of one batch each: a killed run loses at most the part it was at.

Several processes may be at one unit: one that runs it, and others that help. Each part is claimed by one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import pulse
from bench.engine import interrupt
from bench.engine.adversarials import pack, unpack
from bench.engine.plan import Unit
from bench.engine.prepare import halving
from bench.engine.runner import Target, UnitResult, run_unit
from bench.store import OpenRun
from bench.store.cellfile import join, split
from bench.store.records import Ints, Records

IN_MEMORY = 2**28
"""Bytes of a unit's adversarials that are kept until it ends; of more, those shown are crafted again."""
COSTS: dict[str, Callable[[str], Any]] = {"seconds": float, "forwards": int, "backwards": int}


@dataclass(frozen=True)
class Slice:
    """A stretch of consecutive samples, all with the attacked ones of one batch among them."""

    index: int
    samples: Ints


def run_in_parts(unit: Unit, target: Target, run: OpenRun) -> UnitResult:
    """``unit`` on all samples of ``target``; parts that ``run`` has of an earlier attempt are not recomputed.

    Nor are those that helpers are at, which come last. Raises whatever the attack raises, and Interrupted
    once a part is stored if the run was asked to stop.
    """
    parts, done = list(slices(target)), dict[int, UnitResult]()
    with run.in_parts(unit.key):
        for claim in (run.claim_part, run.wait_for_part):
            for part in (part for part in parts if part.index not in done):
                with claim(unit.key, part.index) as ours:
                    if ours:
                        pulse.at(batch=len(done), batches=len(parts), round=0, answered=0)
                        done[part.index] = _part(unit, part, target, run)
    return _join([done[part.index] for part in parts])


def help_with(unit: Unit, target: Target, run: OpenRun) -> bool:
    """Compute the last part of ``unit``, which another process runs, that nobody is at; False: there is none.

    Raises as ``run_in_parts`` does.
    """
    stored = run.parts(unit.key)
    for part in reversed([part for part in slices(target) if part.index not in stored]):
        if not run.is_in_parts(unit.key):  # it has ended, or goes on in another way
            return False
        with run.claim_part(unit.key, part.index) as ours:
            if ours:
                _part(unit, part, target, run)
                return True
    return False


def one_by_one(unit: Unit, run: OpenRun) -> list[Unit]:
    """``unit`` as units of one cell each, to which the parts that ``run`` holds of it are handed down."""
    ones = [replace(unit, cells=(cell,)) for cell in unit.cells]
    for index in run.parts(unit.key):
        if (stored := run.read_part(unit.key, index)) is None:
            continue
        records, facts = stored
        shares = {name: str(kind(kind(facts[name]) / len(ones))) for name, kind in COSTS.items()}
        for one, own in zip(ones, split(records, len(ones)), strict=True):
            run.write_part(one.key, index, own, shares)
    run.drop_parts(unit.key)
    return ones


def slices(target: Target) -> Iterator[Slice]:
    """All samples of ``target``, cut so that each slice has one batch of samples to attack."""
    firsts = target.correct[target.batch_size :: target.batch_size]
    for index, samples in enumerate(np.split(np.arange(len(target.samples)), firsts)):
        yield Slice(index, samples)


def _part(unit: Unit, part: Slice, target: Target, run: OpenRun) -> UnitResult:
    key = unit.key
    stored = run.read_part(key, part.index)
    if stored is not None and _is_of(stored[0], part, target):
        records, facts = stored
        cost = {name: kind(facts[name]) for name, kind in COSTS.items()}
        images = unpack(run.read_part_images(key, part.index)) if run.images else None
        return UnitResult(split(records, len(unit.cells)), **cost, images=images)
    interrupt.check()
    smaller = target.only(part.samples)
    keep = run.images or _shows_some(unit, target, run)
    result = halving(
        target.batch_size, lambda size: run_unit(unit, replace(smaller, batch_size=size), keep_images=keep)
    )
    packed = pack(result.images) if result.images and run.images else None
    run.write_part(
        key, part.index, join(result.records), {name: str(getattr(result, name)) for name in COSTS}, packed
    )
    return result


def _shows_some(unit: Unit, target: Target, run: OpenRun) -> bool:
    """Whether pictures of some samples are wanted, and all adversarials are small enough to be kept."""
    shown = any(run.strips.get(key) for key in unit.keys)
    return shown and target.samples.x.nbytes * len(unit.cells) <= IN_MEMORY


def _is_of(records: Records, part: Slice, target: Target) -> bool:
    """Whether ``records`` are of this part: a machine that attacks in other batches cuts other parts."""
    ids = np.array(target.samples.ids)[part.samples]
    return len(records) % len(ids) == 0 and np.array_equal(records.id, np.tile(ids, len(records) // len(ids)))


def _join(parts: list[UnitResult]) -> UnitResult:
    cost = {name: sum(getattr(part, name) for part in parts) for name in COSTS}
    records = [join(list(cell)) for cell in zip(*(part.records for part in parts), strict=True)]
    kept = [part.images for part in parts if part.images is not None]
    whole = len(kept) == len(parts)  # those of parts that another attempt or a helper has computed are gone
    images = [np.concatenate(cell) for cell in zip(*kept, strict=True)] if whole else None
    return UnitResult(records, **cost, images=images)
