"""An attack that raises, returns NaN or leaves its budget at one eps: what a command-line user sees."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.attacks import attack_session
from bench.attacks.question import Question
from bench.attacks.translation import make_craft as real
from bench.cli.commands import main
from bench.errors import Exit
from tests.builders.tiny import TINY

BAD_EPS = 16 / 255


def broken(_: Question, __: Tensor) -> Tensor:
    raise RuntimeError("the library broke\nand says so at length")


def undefined(_: Question, adversarial: Tensor) -> Tensor:
    return adversarial * torch.nan


def too_far(question: Question, _: Tensor) -> Tensor:
    return (question.x + 2 * question.eps).clamp(0, 1)


def outside(question: Question, _: Tensor) -> Tensor:
    return question.x - question.eps


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (broken, "RuntimeError: the library broke"),
        (undefined, "the attack returned values that are not finite"),
        (too_far, "the attack left its budget: distance 0.125490 > eps 0.062745"),
        (outside, "the attack left the box [0, 1]: values from -0.062745"),
    ],
)
def test_only_the_cell_that_fails_is_an_error_cell(
    spoil: Callable[[Question, Tensor], Tensor],
    reason: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def make(spec: Any, library: Any, *rest: Any) -> Any:
        craft = real(spec, library, *rest)

        def spoilt(question: Question) -> Tensor:
            adversarial = craft(question)
            bad = (spec.attack, library, question.eps) == ("pgd", "art", BAD_EPS)
            return spoil(question, adversarial) if bad else adversarial

        return spoilt

    monkeypatch.setattr(attack_session, "make_craft", make)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "failing-attacks-cache"))
    (tmp_path / "tiny.yaml").write_text(TINY)
    arguments = [
        "run",
        str(tmp_path / "tiny.yaml"),
        "--results",
        str(tmp_path / "results"),
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--format", "json"]) == Exit.INCOMPLETE
    said = capsys.readouterr()
    cells = json.loads(said.out)["cells"]
    failed = [c for c in cells if c["status"] != "ok"]
    assert {(c["attack"], c["library"], c["eps"], c["status"]) for c in failed} == {
        ("pgd-3", "art", "16/255", "error")
    }
    assert {c["model"] for c in failed} == {"baseline", "lora-fc"}
    assert all(reason in c["error"] for c in failed)
    assert len(cells) - len(failed) == 14
    assert len(list(tmp_path.glob("results/tiny/*/cells/*.parquet"))) == 14
    assert main(arguments) == Exit.INCOMPLETE
    shown = " ".join(capsys.readouterr().out.split())
    assert reason in shown
    assert "at length" not in shown, "the JSON has it all, the table the first line"
    assert ("at length" in failed[0]["error"]) == (spoil is broken)
