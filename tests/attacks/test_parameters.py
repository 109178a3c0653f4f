"""Every parameter of every attack reaches its library: what a suite says is never ignored."""

from collections.abc import Iterator
from importlib import import_module
from typing import get_args

import pytest
import torch
from art.estimators.classification import PyTorchClassifier
from pydantic import ValidationError
from torch import nn

from bench.attacks.contract import CONTRACTS
from bench.attacks.question import Question
from bench.attacks.registry import Library, libraries
from bench.attacks.spec import Attack, parameters
from tests.builders.attacking import spec, through
from tests.builders.linear import SHAPE

CLASSES = 100
UNTOLD = {"_estimator", "_attacks"}
QUESTION = Question(torch.full((1, *SHAPE), 0.5), torch.tensor([0]), ("a",), eps=0.25)
OURS = {"attack", "norm", "targeted", "restarts", "loss"}
"""Carried out by us: stages (bench/attacks/attack_session.py) and losses (bench/attacks/losses.py)."""


def other_value(usual: Attack, parameter: str) -> Attack | None:
    """``usual`` with the first other value that ``parameter`` takes; None if every other one is refused."""
    field = type(usual).model_fields[parameter]
    value = getattr(usual, parameter)
    tried: list[object]
    if isinstance(value, str):
        tried = [option for option in get_args(field.annotation) if option != value]
    else:
        tried = [not value] if isinstance(value, bool) else [value * 2, value * 0.9] if value else [0.01]
    for other in tried:
        try:
            return spec(attack=usual.attack, norm=usual.norm, **{parameter: other})
        except ValidationError:
            continue
    return None


def each() -> Iterator[tuple[str, str]]:
    """Every parameter of every attack, by "attack/norm/library", that can have another value."""
    for key in CONTRACTS:
        attack, norm = key.split("/")
        if attack != "strong":
            usual = spec(attack=attack, norm=norm)
            names = [name for name in parameters(usual) if name not in OURS and other_value(usual, name)]
            yield from ((f"{key}/{library}", name) for library in through(usual) for name in names)


@pytest.mark.parametrize(("where", "parameter"), each())
def test_a_parameter_changes_what_the_library_is_given(where: str, parameter: str) -> None:
    attack, norm, library = where.split("/")
    usual = spec(attack=attack, norm=norm)
    other = other_value(usual, parameter)
    assert other is not None
    assert given(other, library) != given(usual, library)


def test_basis_dct_has_parameters_of_its_own() -> None:
    usual = spec(attack="simba", basis="dct")
    for parameter in ("freq_dim", "stride"):
        assert given(spec(attack="simba", basis="dct", **{parameter: 2}), "art") != given(usual, "art")


def given(attack: Attack, library: Library) -> tuple[str, dict[str, str]]:
    """The library's attack for ``attack``, and all that it was told."""
    translate = import_module(libraries()[library].translation).translate
    if library == "foolbox":
        made = translate(attack, QUESTION)
    else:
        made = translate(attack, estimator() if library == "art" else nn.Linear(1, 1), QUESTION)
    plain = {
        name: str(value) for name, value in vars(made).items() if not callable(value) and name not in UNTOLD
    }
    return type(made).__name__, plain


def estimator() -> PyTorchClassifier:
    return PyTorchClassifier(
        nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES)), loss=nn.CrossEntropyLoss(), input_shape=SHAPE,
        nb_classes=CLASSES, clip_values=(0.0, 1.0), device_type="cpu",
    )  # fmt: skip
