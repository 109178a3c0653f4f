"""Weights beside a reference: whoever runs the suite attacks the very models that its numbers are of."""

import json
import shutil
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.store import list_runs, read_header
from tests.builders.tiny import TINY

SUITE = TINY.replace("resnet18", "timm/test_resnet").replace("eps: [2/255, 16/255]", "eps: [16/255]")


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite, a cache of its models, and results: a run and the reference made of it, weights beside it."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "tiny.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        assert main(["run", str(folder / "tiny.yaml"), "--results", str(folder / "results")]) == 0
        command = ["reference", "update", "latest", "--force", "--results", str(folder / "results")]
        assert main([*command, "--limit-mb", "2", "--with-weights"]) == 2
        assert not (folder / "results" / "reference").exists(), (
            "neither the numbers nor the weights are there"
        )
        assert main([*command, "--with-weights"]) == 0
    return folder


@pytest.fixture
def elsewhere(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``stored`` on a machine that has trained nothing, and must not."""
    folder = shutil.copytree(stored, tmp_path / "there", ignore=shutil.ignore_patterns("cache"))
    monkeypatch.setenv("BENCH_CACHE", str(folder / "cache"))
    monkeypatch.setattr("adapters.training.fit.fit", lambda *_, **__: pytest.fail("something is trained"))
    return folder


def run(folder: Path, *more: str) -> int:
    reference = ["--weights-of", str(folder / "results" / "reference" / "tiny.json")]
    return main(["run", str(folder / "tiny.yaml"), "--results", str(folder / "results"), *reference, *more])


def test_a_run_takes_the_weights_of_its_reference(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(elsewhere, "--fresh", "--gate") == 0
    assert "PASS" in capsys.readouterr().out
    first, second = (read_header(path / "run.json") for path in sorted(list_runs(elsewhere / "results")))
    assert [m.sha256 for m in first.models] == [m.sha256 for m in second.models]
    assert [c.key for c in first.cells] == [c.key for c in second.cells]
    cache = elsewhere / "cache"
    assert not (cache / "models").exists(), "what others train with the same recipe stays theirs"
    weights = elsewhere / "results" / "reference" / "tiny.weights"
    assert {file.suffix for file in weights.rglob("*") if file.is_file()} <= {
        ".safetensors",
        ".json",
        ".md",
        "",
    }, "no pickles"


def test_its_run_can_be_the_reference_again(elsewhere: Path) -> None:
    weights = elsewhere / "results" / "reference" / "tiny.weights"
    kept = {file: file.read_bytes() for file in weights.rglob("*") if file.is_file()}
    assert run(elsewhere, "--fresh") == 0
    for more in ([], ["--with-weights"]):
        assert (
            main(["reference", "update", "latest", "--force", "--results", str(elsewhere / "results"), *more])
            == 0
        )
    assert {file: file.read_bytes() for file in weights.rglob("*") if file.is_file()} == kept


def test_the_suites_own_reference_has_a_short_name(elsewhere: Path) -> None:
    command = [
        "run",
        str(elsewhere / "tiny.yaml"),
        "--results",
        str(elsewhere / "results"),
        "--weights-of",
        "reference",
    ]
    assert main([*command, "--dry-run"]) == 0
    assert main([*command, "--only", "lora-fc/0/fgsm/*"]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("epochs: 1, lr: 0.01", "epochs: 2, lr: 0.01"),
            "has no weights of baseline, as it is declared now",
        ),
        (
            ("timm/test_resnet", "timm/test_resnet\n  mean: [0.4, 0.5, 0.5]\n  std: [0.5, 0.5, 0.5]"),
            "has no weights of baseline",
        ),
    ],
)
def test_a_recipe_that_has_changed_trains_nothing(
    change: tuple[str, str], said: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "tiny.yaml").write_text(SUITE.replace(*change))
    assert run(elsewhere) == 4
    assert said in capsys.readouterr().err


def test_weights_that_are_damaged_or_anothers_are_named(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = elsewhere / "results" / "reference"
    file = next((reference / "tiny.weights" / "models").glob("*/adapter/adapter_model.safetensors"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run(elsewhere) == 4
    assert f"{file.parent.parent}: damaged" in capsys.readouterr().err
    file.write_bytes(whole)
    numbers = json.loads((reference / "tiny.json").read_text())
    numbers["models"][1]["sha256"] = "0" * 64
    (reference / "tiny.json").write_text(json.dumps(numbers))
    assert run(elsewhere) == 4
    assert "has weights of lora-fc that are not the reference's" in capsys.readouterr().err
    shutil.rmtree(reference / "tiny.weights")
    assert run(elsewhere) == 4
    assert "keeps no weights" in capsys.readouterr().err


def test_a_reference_does_not_stand_beside_weights_of_another_run(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = shutil.copytree(stored / "results", tmp_path / "results")
    weights = results / "reference" / "tiny.weights"
    before = (results / "reference" / "tiny.json").read_bytes()
    next(weights.glob("models/*/model.safetensors")).write_bytes(b"another")
    assert main(["reference", "update", "latest", "--force", "--results", str(results)]) == 2
    assert f"{weights} has weights of another run" in capsys.readouterr().err
    assert (results / "reference" / "tiny.json").read_bytes() == before
