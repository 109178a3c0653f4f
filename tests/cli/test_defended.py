"""Defended models from the command line: what is only naively attacked cannot outrank its undefended self."""

import json
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli.commands import main
from bench.errors import Exit

SUITE = """
name: squeezing
backbone: {architecture: timm/test_resnet}
data: {source: digits, classes: [6, 7], size: 32, samples: 24}
training: {epochs: 3, lr: 0.01, augmentation: none}
models:
  - {name: plain}
  - {name: squeezed, of: plain, defences: [{defence: bit-depth, bits: 3}]}
eps: [24/255]
libraries: [foolbox]
attacks: [{attack: pgd, steps: 5}]
trust: "off"
adapt: naive
"""


def run(folder: Path, suite: str, *options: str) -> int:
    (folder / "suite.yaml").write_text(suite)
    return main(["run", str(folder / "suite.yaml"), "--results", str(folder / "results"), *options])


def printed(folder: Path, suite: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(folder, suite, "--format", "json") == Exit.OK
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def flagged(folder: Path) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """What the trust checks flagged in the newest run, but for how few samples there are."""
    found = bench.load("latest", results=folder / "results").card.flags
    return [(flag.check, flag.grade, flag.model, flag.attacks) for flag in found if flag.check != "samples"]


def test_a_model_attacked_only_naively_has_no_rank_and_one_attacked_adaptively_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    naive = printed(tmp_path, SUITE, capsys)
    plain, squeezed = (
        next(m for m in naive["models"] if m["model"] == name) for name in ("plain", "squeezed")
    )
    assert squeezed["worst_case"] > plain["worst_case"], "the gain that is only a hidden gradient"
    assert (plain["rank"], squeezed["rank"], squeezed["trust"]) == (1, None, "fail")
    assert squeezed["unranked"] == "its strongest attack, pgd-5, fails adaptive"
    assert flagged(tmp_path) == [("adaptive", "fail", "squeezed", ("pgd-5",))]
    (defence,) = naive["defences"]
    assert (defence["adaptive"], defence["gain"]) == (None, None)
    assert "no attack knew the defence: what it gains is not known" in defence["sentence"]

    assert run(tmp_path, SUITE) == Exit.OK
    said = capsys.readouterr().out
    assert "attacked only as if its defences were not known" in " ".join(said.split())

    both = printed(tmp_path, SUITE.replace("adapt: naive", "adapt: auto"), capsys)
    squeezed = next(m for m in both["models"] if m["model"] == "squeezed")
    assert squeezed["rank"] is not None
    once = [("adaptive", "warn", "squeezed", ("pgd-5",))]
    assert flagged(tmp_path) == once, "the naive attack is weak: that is said once"
    (defence,) = both["defences"]
    assert defence["adaptive"]["value"] < defence["naive"]["value"]
