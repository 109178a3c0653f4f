"""The study's suites for a GPU, and protocols of others, are planned on data in the layout they expect."""

from pathlib import Path

import pytest
import torch

from adapters.backbones.networks import build_backbone
from adapters.spec import BackboneSpec
from bench.cli.commands import main
from bench.suite.suite import find_suite, load_suite


def plan(suite: Path, data: Path, folder: Path) -> int:
    return main(["run", str(suite), "--data-root", str(data), "--results", str(folder / "r"), "--dry-run"])


@pytest.mark.parametrize(
    "name", ["study_rank_gpu", "study_black_box_gpu", "study_switching_gpu", "study_transfer_gpu"]
)
def test_a_suite_for_a_gpu_is_planned(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(find_suite(name), data, tmp_path) == 0
    said, suite = capsys.readouterr().out, load_suite(find_suite(name))
    assert all(f"{model.name}/{seed}/" in said for model in suite.models for seed in (0, 1, 2))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [("protocol_wong2020fast", "Wong2020Fast.pt"), ("protocol_autolora", "resnet50_linf_eps4.0.ckpt")],
)
def test_a_protocol_names_the_checkpoint_that_it_lacks(
    name: str, file: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(find_suite(name), data, tmp_path) == 2
    assert f"{name}.yaml:" in (said := capsys.readouterr().err.replace("\n", " "))
    assert f"{file}: no such file" in said


def test_a_protocol_is_planned_with_a_checkpoint_as_its_authors_publish_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = build_backbone(BackboneSpec(architecture="cifar/preact_resnet18"), 10, 0)
    torch.save(
        {f"module.{name}": tensor for name, tensor in network.state_dict().items()},
        tmp_path / "Wong2020Fast.pt",
    )
    suite = tmp_path / "protocol.yaml"
    suite.write_text(find_suite("protocol_wong2020fast").read_text())
    assert plan(suite, data, tmp_path) == 0
    assert "wong2020fast/0/strong" in capsys.readouterr().out
    (model,) = load_suite(suite).models
    assert model.expect_accuracy is not None
