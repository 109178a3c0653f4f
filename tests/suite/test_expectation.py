"""``expect_accuracy``: a model that is not the one its author knows is not attacked at all."""

import json
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.store import list_runs
from bench.suite.expectation import Expectation
from bench.suite.suite import Suite, load_suite
from tests.builders.tiny import TINY
from tests.suite.test_suite import write

NAME = "  - name: lora-fc\n"
LINE = 1 + TINY[: TINY.index(NAME)].count("\n") + 1
"""Where ``expect_accuracy`` stands in the suites below."""


def expecting(folder: Path, what: str) -> Path:
    """The tiny suite, with ``what`` expected of its second model."""
    return write(folder, (NAME, f"{NAME}    expect_accuracy: {what}\n"))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("65.4", "models[1].expect_accuracy: 65.4 is not a share from 0 to 1; write 0.654 for 65.4 %"),
        ("-0.1", "models[1].expect_accuracy: -0.1 is not a share from 0 to 1; write 0.654 for 65.4 %"),
        ("654", "models[1].expect_accuracy: 654 is not a share from 0 to 1"),
        ("65.4%", "models[1].expect_accuracy: input should be a valid number"),
        ("true", "models[1].expect_accuracy: input should be a valid number"),
        (
            "{value: 0.654, within: 2}",
            "models[1].expect_accuracy.within: 2 is not a share from 0 to 1; write 0.02 for 2 %",
        ),
        ("{within: 0.01}", "the key 'value' is missing"),
        ("{value: 0.654, whithin: 0.01}", "unknown key 'whithin'; did you mean 'within'?"),
    ],
)
def test_a_share_from_0_to_1_or_one_clear_message(
    what: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = expecting(tmp_path, what)
    assert main(["run", str(path), "--results", str(tmp_path / "results"), "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path}:{LINE}" in line
    assert message in line


def test_both_spellings_are_one(tmp_path: Path) -> None:
    whole = load_suite(expecting(tmp_path, "{value: 0.654}"))
    assert load_suite(expecting(tmp_path, "0.654")) == whole
    assert Suite.model_validate(whole.model_dump(mode="json")) == whole
    assert whole.models[1].expect_accuracy == Expectation(value=0.654)
    assert whole.models[0].expect_accuracy is None


@pytest.mark.parametrize(
    ("value", "within", "n", "allowed"),
    [
        (0.5, None, 10, range(11)),  # two-sided: all wrong has 2 / 1024, above 0.1 %
        (0.5, None, 11, range(1, 11)),  # 2 / 2048 is not
        (1.0, None, 10, range(10, 11)),
        (0.0, None, 10, range(1)),
        (0.9, 0.0, 10, range(9, 10)),
        (0.9, 0.1, 10, range(8, 11)),
        (0.65, 0.01, 100, range(64, 67)),
    ],
)
def test_what_is_allowed(value: float, within: float | None, n: int, allowed: range) -> None:
    expected = Expectation(value=value, within=within)
    assert [right for right in range(n + 1) if expected.allows(right, n)] == list(allowed)


def test_what_chance_allows_is_said() -> None:
    assert Expectation(value=0.5).allowed(11) == "or 0.091 to 0.909, as far as chance goes in 11 samples"
    assert Expectation(value=0.5, within=0.01).allowed(11) == "within 0.01"


def test_a_missed_expectation_stops_the_run_before_any_attack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no part of any key either: with another expectation the same run goes on."""
    results = tmp_path / "results"

    def run(what: str, *options: str) -> int:
        return main(
            ["run", str(expecting(tmp_path, what)), "--results", str(results), "--format", "json", *options]
        )

    assert run("{value: 0.5, within: 0.5}", "--only", "lora-fc/0/fgsm/*") == 0
    found = json.loads(capsys.readouterr().out)
    accuracy = next(m["accuracy"] for m in found["models"] if m["model"] == "lora-fc")
    (path,) = list_runs(results)
    before = (path / "run.json").read_bytes()

    wrong = f"{{value: {1 - round(accuracy):g}, within: 0.01}}"
    assert run(wrong) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    right = round(12 * accuracy)
    assert (
        f"suite.yaml:{LINE}: lora-fc: the clean accuracy is {accuracy:.3f} ({right} of 12 samples),"
        " expected " in said
    )
    assert all(
        word in said
        for word in ("class order", "normalisation", "size", "other weights", "nothing was attacked")
    )
    assert list_runs(results) == [path]
    assert (path / "run.json").read_bytes() == before, "nothing was stored"

    assert run(wrong, "--only", "baseline/0/fgsm/foolbox") == 0, "of what is not attacked, nothing is asked"
    assert run(f"{{value: {accuracy:.6f}, within: 0.001}}", "--only", "lora-fc/0/fgsm/*") == 0
    assert list_runs(results) == [path]
