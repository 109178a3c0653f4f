"""Runs on their way out: a model card that the Hub reads, experiment trackers, and what happens if they fail.

Neither wandb nor mlflow is needed: modules of their names record what they are asked.
"""

import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import huggingface_hub
import pytest
import yaml

import bench
from bench.api import exporters
from bench.api.exporters import Exporter, Scored
from bench.api.exporters.headline import spelt
from bench.cli.commands import main
from bench.errors import UserError
from bench.render.model_card import model_card
from bench.render.numbers import percent
from bench.scoring.scorecard import Scorecard
from bench.text import NONE
from tests.builders.scene import Scene, store_scene
from tests.builders.tiny import TINY

HOSTILE = "lora: |r=8\n---\n<b>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored run of two models, one with a hostile name."""
    models = {"base": Scene().models["base"], HOSTILE: Scene().models["lora"]}
    return store_scene(tmp_path_factory.mktemp("out"), Scene(models=models))


@pytest.fixture(scope="module")
def card(run: Path) -> Scorecard:
    return bench.load(run).card


def headline(card: Scorecard) -> dict[str, float]:
    """What trackers are given, as the scorecard has it."""
    found = {}
    for m in card.models:
        assert m.accuracy is not None
        assert m.certainty is not None
        assert m.certainty_adv is not None
        found[f"{m.model.name}/accuracy"] = m.accuracy.value
        found |= {} if m.worst_case is None else {f"{m.model.name}/robust_accuracy": m.worst_case.value}
        found |= {f"{m.model.name}/certainty": m.certainty, f"{m.model.name}/certainty_adv": m.certainty_adv}
    rates = [a for a in card.attacks if a.eps == card.headline_eps]
    return {**found, **{f"{a.model.name}/asr/{a.attack}": a.asr.value for a in rates}}


def test_the_hub_reads_the_card_s_metadata(run: Path, card: Scorecard, tmp_path: Path) -> None:
    file = tmp_path / "card.md"
    assert main(["export", str(run), "--to", "card", "-o", str(file)]) == 0
    read = huggingface_hub.ModelCard(file.read_text()).data
    assert isinstance(read, huggingface_hub.ModelCardData)
    found = {
        (e.metric_type, e.metric_name, e.metric_value, (e.metric_args or {})["low"])
        for e in read.eval_results or []
    }
    wanted = set()
    for m in card.models:
        assert m.accuracy is not None
        wanted.add(("accuracy", "Clean accuracy", m.accuracy.value, m.accuracy.low))
        if m.worst_case is not None and m.trust != "fail":
            name = "Robust accuracy, worst of all attacks, eps 16/255"
            wanted.add(("robust_accuracy", name, m.worst_case.value, m.worst_case.low))
    for a in card.attacks:
        if a.eps == card.headline_eps and a.trust != "fail":
            name = f"Attack success rate, {a.attack}, eps 16/255"
            wanted.add(("attack_success_rate", name, a.asr.value, a.asr.low))
    assert {(kind, name, round(value, 9), round(low, 9)) for kind, name, value, low in found} == {
        (kind, name, round(value, 9), round(low, 9)) for kind, name, value, low in wanted
    }
    assert {e.task_type for e in read.eval_results or []} == {"image-classification"}
    assert {e.dataset_type for e in read.eval_results or []} == {"scene"}
    index = yaml.safe_load(re.split(r"^---$", file.read_text(), flags=re.MULTILINE)[1])["model-index"]
    assert [entry["name"] for entry in index] == [m.model.name for m in card.models]


def test_the_card_has_a_table_with_intervals_and_trust(run: Path, card: Scorecard, tmp_path: Path) -> None:
    bench.load(run).export("card", tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    lines = [
        [cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]
    for m in card.models:
        (row,) = (
            line
            for line in lines
            if percent(m.accuracy) in line
            and f"| {m.trust}" in f"| {line[-1]}"
            and m.model.name[:4] in line[0]
        )
        assert row[1] == str(m.rank or NONE)
        assert row[3] == percent(m.worst_case, m.trust)
    for a in card.attacks:
        if a.eps == card.headline_eps:
            assert percent(a.asr, a.trust) in text
    assert "<b>" not in text[text.index("# Adversarial") :]
    assert card.run_id in text
    assert "foolbox 3.3.4" in text


def test_a_number_that_fails_its_checks_is_not_in_the_metadata(run: Path, card: Scorecard) -> None:
    failing = replace(card, models=tuple(replace(m, trust="fail") for m in card.models))
    text = model_card(failing, bench.load(run).run.header)
    assert "type: robust_accuracy" not in text
    assert "type: accuracy" in text
    assert f"{percent(card.models[0].worst_case, 'fail')} |" in text


def test_the_card_goes_to_a_file_of_its_own_by_default(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--to", "card"]) == 0
    assert capsys.readouterr().err == "exported: model-card.md\n"
    assert [file.name for file in tmp_path.iterdir()] == ["model-card.md"]


class Wandb(ModuleType):
    """Records as wandb is called."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.asked: dict[str, Any] = {}
        self.run = MagicMock(url="https://wandb.example/r/1", summary={})
        self.Table = lambda columns, data: {"columns": columns, "data": data}
        self.Html = lambda file: Path(file).read_text()
        self.Artifact = MagicMock()

    @contextmanager
    def init(self, **asked: Any) -> Any:
        self.asked = asked
        yield self.run


def test_wandb_gets_the_numbers_the_cells_the_report_and_the_files(
    run: Path, card: Scorecard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    assert main(["export", str(run), "--to", "wandb"]) == 0
    assert "exported: https://wandb.example/r/1" in capsys.readouterr().err
    assert (wandb.asked["id"], wandb.asked["resume"], wandb.asked["group"]) == (card.run_id, "allow", "scene")
    assert not set(wandb.asked["id"]) & set("/\\#?%:"), "wandb refuses them"
    assert wandb.asked["config"]["headline_eps"] == "16/255"
    assert wandb.asked["config"]["commit"] == "a" * 40
    assert wandb.run.summary == headline(card)
    (logged,) = (call.args[0] for call in wandb.run.log.call_args_list)
    assert len(logged["cells"]["data"]) == len(card.cells)
    first = dict(zip(logged["cells"]["columns"], logged["cells"]["data"][0], strict=True))
    assert card.cells[0].metrics is not None
    assert first["asr"] == card.cells[0].metrics.asr.value
    assert logged["report"].startswith("<!DOCTYPE html>")
    wandb.Artifact.assert_called_once_with(f"bench-{card.run_id}", type="bench-run")
    artifact = wandb.Artifact.return_value
    assert [Path(call.args[0]).name for call in artifact.add_file.call_args_list] == [
        "report.html",
        "run.json",
    ]
    artifact.add_dir.assert_called_once_with(str(run / "cells"), name="cells")
    wandb.run.log_artifact.assert_called_once_with(artifact)


class Mlflow(ModuleType):
    """Records as mlflow is called."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.params: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.files: list[str] = []
        self.names: list[str] = []

    @contextmanager
    def start_run(self, run_name: str) -> Any:
        self.names.append(run_name)
        yield SimpleNamespace(info=SimpleNamespace(run_id="5f3"))

    def log_params(self, params: dict[str, Any]) -> None:
        self.params |= params

    def log_metrics(self, metrics: dict[str, float]) -> None:
        assert len(metrics) <= 1000
        assert all(re.fullmatch(r"[\w\-./ ]{1,250}", name, re.ASCII) for name in metrics), (
            "mlflow refuses others"
        )
        self.metrics |= metrics

    def log_artifact(self, file: str) -> None:
        assert Path(file).is_file()
        self.files.append(Path(file).name)

    def log_artifacts(self, folder: str, artifact_path: str) -> None:
        self.files += sorted(f"{artifact_path}/{file.name}" for file in Path(folder).iterdir())

    def get_tracking_uri(self) -> str:
        return "file:///mlruns"


def test_mlflow_gets_the_numbers_the_report_and_the_files(
    run: Path, card: Scorecard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    assert main(["export", str(run), "--to", "mlflow"]) == 0
    assert "exported: MLflow run 5f3 at file:///mlruns" in capsys.readouterr().err
    assert mlflow.names == [card.run_id]
    assert mlflow.params["suite"] == "scene"
    assert mlflow.params["samples"] == 120
    wanted = {re.sub(r"[^\w\-./ ]", "_", name): value for name, value in headline(card).items()}
    assert mlflow.metrics == wanted
    assert "lora_ _r_8_---__b_/accuracy" in mlflow.metrics
    assert mlflow.files[:2] == ["report.html", "run.json"]
    assert mlflow.files[2:] == sorted(f"cells/{c.entry.key}.parquet" for c in card.cells)


def test_names_that_a_tracker_cannot_tell_apart_are_numbered() -> None:
    found = spelt({"a=b": 1.0, "a|b": 2.0, "a:b": 3.0, "ä": 4.0, "x" * 300: 5.0}, r"\w", 250)
    assert found == {"a_b": 1.0, "a_b_2": 2.0, "a_b_3": 3.0, "_": 4.0, "x" * 246: 5.0}


def faulty(_: Scored, __: Path | None) -> str:
    raise ConnectionError("no route to host\nand more")


FAULTY = Exporter("faulty", faulty)
FINE = Exporter("fine", lambda run, file: f"{run.card.suite} {len(run.card.cells)} {file}")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points of a package that adds two exporters."""
    points = [EntryPoint(name, f"{__name__}:{name.upper()}", exporters.GROUP) for name in ("faulty", "fine")]

    def entry_points(**asked: Any) -> EntryPoints:
        return EntryPoints(points).select(**asked)

    monkeypatch.setattr(exporters, "entry_points", entry_points)


@pytest.mark.usefixtures("installed")
def test_an_exporter_of_another_package_is_one_like_ours(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exporters.names() == ["card", "wandb", "mlflow", "faulty", "fine"]
    assert bench.load(run).export("fine") == "scene 24 None"
    assert main(["export", str(run), "--to", "fine", "-o", "x.md"]) == 2
    assert "'fine' writes no file" in capsys.readouterr().err


@pytest.mark.usefixtures("installed")
def test_what_fails_is_a_line_and_an_exit_code(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--to", "faulty"]) == 1
    said = capsys.readouterr().err
    assert (
        said == "bench: 'faulty': ConnectionError: no route to host; the run is stored, and can be exported"
        " again\n"
    )


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_what_is_not_installed_says_how_to_install_it(
    name: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert main(["export", str(run), "--to", name]) == 1
    assert (
        f"'{name}': {name} is not installed; pip install 'lora-robustness-bench[{name}]'"
        in capsys.readouterr().err
    )


def test_an_exporter_that_there_is_not_is_refused_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["run", "fgsm_pgd", "--export", "nowhere"])
    assert stop.value.code == 2
    assert "'nowhere' is not an exporter; give one of card, wandb, mlflow" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not list(tmp_path.glob("results/*/*"))
    with pytest.raises(UserError, match="is not an exporter"):
        exporters.send(MagicMock(), "nowhere")


@pytest.mark.usefixtures("installed")
def test_a_run_exports_at_its_end_and_a_failure_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In one process with the run: its answer, exit code and files are those of one that exports nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(TINY.replace("attacks:", "trust: 'off'\nattacks:"))
    command = ["run", "tiny.yaml", "--only", "baseline/0/fgsm/*", "--format", "csv"]
    code, plain = main(command), capsys.readouterr().out
    before = {file: file.read_bytes() for file in tmp_path.glob("results/tiny/*/cells/*")}
    assert main([*command, "--export", "faulty", "--export", "fine"]) == code == 0
    said = capsys.readouterr()
    assert said.out == plain
    assert "--export 'faulty': ConnectionError: no route to host" in caplog.text
    assert "exported: tiny 16 None" in said.err
    assert {file: file.read_bytes() for file in tmp_path.glob("results/tiny/*/cells/*")} == before
