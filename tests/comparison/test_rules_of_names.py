"""Runs whose models are named by different rules: what can be said of their weights, and what cannot."""

from dataclasses import replace

import pytest

from bench.comparison.cause import Made, Subject, drifts
from bench.ids import ModelId
from bench.store import ModelEntry
from tests.builders.snapshots import flags, make_snapshot

OLD = ModelEntry(
    "lora", 0, "lora", 1, 12, "old", {"adapter/adapter_model.safetensors": "a", "card.json": "b"}
)
NEW = replace(OLD, sha256="new", rule=3, files={"adapter/adapter_model.safetensors": "a", "card.json": "c"})


def said(before: ModelEntry, after: ModelEntry) -> list[str]:
    runs = [
        replace(make_snapshot("r", {"fgsm 8/255": flags(1, 2)}).header, models=(entry,))
        for entry in (before, after)
    ]
    a, b = (Made(header, header.origin("")) for header in runs)
    return [str(cause) for cause in drifts(a, b, Subject(ModelId("lora", 0), "fgsm", "foolbox"))]


def test_equal_files_are_the_same_model_whatever_the_rule() -> None:
    assert OLD.same_as(NEW)
    assert said(OLD, NEW) == []


def test_other_files_under_another_rule_cannot_be_told() -> None:
    other = replace(NEW, files={"adapter/adapter_model.safetensors": "z"})
    assert OLD.same_as(other) is None
    assert replace(OLD, files={}).same_as(replace(NEW, files={})) is None
    assert said(OLD, other) == [
        "model drift: whether lora/0 is the same model cannot be told: it was named by another rule"
    ]


def test_under_one_rule_the_name_says_it() -> None:
    assert OLD.same_as(replace(OLD, files={}))
    assert OLD.same_as(replace(OLD, sha256="x")) is False
    (line,) = said(OLD, replace(OLD, sha256="x"))
    assert "the weights of lora/0 differ, old -> x (declared the same, trained again)" in line


ADAPTER = {"backbone/model.safetensors": "b", "adapter/adapter_model.safetensors": "a", "card.json": "c"}


@pytest.mark.parametrize(
    ("method", "files", "why"),
    [
        ("lora", {"adapter/adapter_model.safetensors": "x"}, "trained again"),
        ("peft", {"adapter/adapter_model.safetensors": "x", "card.json": "y"}, "adapter changed"),
        ("peft", {"backbone/model.safetensors": "x"}, "backbone changed"),
        (
            "peft",
            {"adapter/adapter_config.json": "x", "backbone/model.safetensors": "x"},
            "backbone and adapter changed",
        ),
        ("none", {"backbone/model.safetensors": "x"}, "backbone changed"),
        ("none", {"code/net.py": "x"}, "code changed"),
        ("peft", {}, "its files changed"),
    ],
)
def test_what_nobody_trained_was_changed(method: str, files: dict[str, str], why: str) -> None:
    before = replace(OLD, method=method, files=ADAPTER)
    after = replace(before, sha256="x", files={**ADAPTER, **files})
    assert said(before, after) == [
        f"model drift: the weights of lora/0 differ, old -> x (declared the same, {why})"
    ]
