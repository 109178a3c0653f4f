"""The pictures that a run keeps of attacked samples, with what its records say of each."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.ids import CellId
from bench.store import CellEntry, StoredRun
from bench.store.checksum import BrokenFileError
from bench.store.records import Records
from bench.store.strips import PANELS, Strip, Which, planned, read_strip, strip_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """What a model says of an image: the predicted class, and the probabilities of it and of the true one."""

    predicted: str
    prob: float
    prob_true: float


@dataclass(frozen=True)
class Shown:
    """One attacked sample, of class ``label``, as pictures (H x W x 3) before, after, and of the difference.

    It is the ``which`` of its cell: the worst is the one whose true class is left the least probability. The
    ``difference`` is half a grey plus ``factor`` times the change.
    """

    cell: CellId
    which: Which
    sample: str
    label: str
    before: Said
    after: Said
    factor: float
    clean: npt.NDArray[np.uint8]
    adversarial: npt.NDArray[np.uint8]
    difference: npt.NDArray[np.uint8]


def shown_samples(run: StoredRun) -> Iterator[Shown]:
    """Those of the finished cells of ``run``, cell by cell; what is damaged is named, and left out."""
    names = run.header.data.classes if run.header.data else ()
    plan = planned(run.header)
    for cell in run.header.cells:
        for which in plan.pop(cell.key, ()) if cell.status == "ok" else ():
            file = strip_file(run.path, cell.key, which)
            try:
                strip = read_strip(file)
                yield _shown(cell, which, strip, run.records(cell.key), names)
            except FileNotFoundError:
                continue
            except BrokenFileError as error:
                log.warning("%s: %s; left out", file, error)


def _shown(cell: CellEntry, which: Which, strip: Strip, records: Records, names: Sequence[str]) -> Shown:
    row = strip.row
    if not 0 <= row < len(records):
        raise BrokenFileError(f"of sample {row}, which the cell does not have")
    before = records.clean_pred[row], records.clean_prob[row], records.clean_prob_true[row]
    after = records.adv_pred[row], records.adv_prob[row], records.adv_prob_true[row]
    clean, adversarial, difference = np.split(strip.pixels, PANELS, axis=1)
    return Shown(
        cell.id, which, str(records.id[row]), _name(names, records.label[row]),
        _said(names, *before), _said(names, *after), strip.factor, clean, adversarial, difference,
    )  # fmt: skip


def _said(names: Sequence[str], pred: int, prob: float, prob_true: float) -> Said:
    return Said(_name(names, pred), float(prob), float(prob_true))


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else str(label)
