"""Attacked samples as pictures in a page."""

import io
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.ids import ModelId
from bench.scoring.strips import Said, Shown
from bench.text import number


@dataclass(frozen=True)
class Panel:
    """A picture as an address that holds it, what it shows, and the lines below it."""

    address: str
    title: str
    lines: tuple[str, ...]


def by_model(samples: Iterable[Shown]) -> dict[ModelId, list[tuple[Shown, list[Panel]]]]:
    """``samples`` of each model, with their panels."""
    found: dict[ModelId, list[tuple[Shown, list[Panel]]]] = {}
    for one in samples:
        found.setdefault(one.cell.model, []).append((one, panels(one)))
    return found


def panels(one: Shown) -> list[Panel]:
    """The sample before and after the attack, with the model's answers, and what was changed."""
    return [
        Panel(_address(one.clean), "clean", _answer(one.label, one.before)),
        Panel(_address(one.adversarial), "under attack", _answer(one.label, one.after)),
        Panel(_address(one.difference), "difference", (f"× {one.factor:.3g}",)),
    ]


def _answer(label: str, said: Said) -> tuple[str, ...]:
    """The predicted class and its probability; where that is not the true class, the true one's too."""
    predicted = f"predicted: {said.predicted} ({number(said.prob)})"
    return (
        (predicted,) if said.predicted == label else (predicted, f"true: {label} ({number(said.prob_true)})")
    )


def _address(pixels: npt.NDArray[np.uint8]) -> str:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "png", optimize=True)
    return f"data:image/png;base64,{b64encode(out.getvalue()).decode()}"
