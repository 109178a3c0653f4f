"""A user's own images, weights and peft adapter, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from adapters.backbones.networks import build_backbone, fetch_backbone
from adapters.classifier import Classifier, predict
from adapters.spec import BackboneSpec
from bench.cli.commands import main
from bench.suite.suite import load_suite
from tests.adapters.test_models import plain_peft_adapter

SUITE = """name: mine
backbone: {{architecture: resnet18, weights: {weights}, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}}
data: {{source: imagefolder, path: mine, size: 32}}
models:
- {{name: as-it-is, adaptation: {{method: none}}}}
- {{name: adapter, adaptation: {{method: peft, path: {adapter}}}}}
eps: [1/255]
attacks: [{{attack: fgsm}}]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b", "c"):
            for i in range(4):
                file = tmp_path / "data" / "mine" / split / name / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(file)
    save_file(build_backbone(BackboneSpec(), 3, 0).state_dict(), tmp_path / "weights.safetensors")
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.format(weights=tmp_path / "weights.safetensors", adapter=tmp_path / "adapter"))
    return file


def run(suite: Path) -> int:
    folder = suite.parent
    where = ["--data-root", str(folder / "data"), "--results", str(folder / "results")]
    return main(["run", str(suite), *where, "--format", "json", "-o", str(folder / "out.json")])


def test_an_adapter_of_plain_peft_is_loaded_and_scored(suite: Path) -> None:
    folder = suite.parent
    network = build_backbone(BackboneSpec(), 3, 0).eval()
    theirs = plain_peft_adapter(folder / "adapter", network, target_modules=["fc"])
    assert run(suite) == 0
    scored = json.loads((folder / "out.json").read_text())
    models = {m["model"]: m for m in scored["models"]}
    assert {name: m["trainable_parameters"] for name, m in models.items()} == {
        "as-it-is": 0,
        "adapter": 4 * (512 + 3),
    }
    files = sorted((folder / "data/mine/test").rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files])
    classifier = Classifier(theirs, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=3).eval()
    labels = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)
    said = predict(classifier, torch.from_numpy(pixels).float() / 255, labels)
    # Ten digits are printed.
    assert models["adapter"]["accuracy"] == pytest.approx((said.pred == labels.numpy()).mean(), abs=1e-9)
    assert models["adapter"]["certainty"] == pytest.approx(said.prob.mean(), abs=1e-6)


def test_errors_of_models_and_data_exit_with_2_and_no_traceback(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(suite) == 2
    assert "no such adapter folder" in capsys.readouterr().err
    (suite.parent / "weights.safetensors").unlink()
    assert run(suite) == 2
    assert "weights.safetensors: no such file" in capsys.readouterr().err
    (suite.parent / "data").rename(suite.parent / "elsewhere")
    assert run(suite) == 2
    assert "mine: no such folder; put the images there" in capsys.readouterr().err


def test_a_timm_tag_without_weights_is_named_by_its_line(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = suite.read_text().splitlines()
    suite.write_text("\n".join([lines[0], "backbone: {architecture: timm/resnet18.a1_in1k}", *lines[2:]]))
    (suite.parent / "adapter").mkdir()
    assert run(suite) == 2
    assert "suite.yaml:2: timm/resnet18.a1_in1k names weights" in capsys.readouterr().err


TWO_FILES = """name: two
backbone:
  {architecture: timm/test_resnet, weights: ours.pt, key: ema, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
data: {source: digits, classes: [0, 1], size: 32, samples: 12}
models:
- {name: ours, adaptation: {method: none}}
- {name: plain, adaptation: {method: none}, weights: theirs.pt}
- {name: theirs, adaptation: {method: none}, weights: both.pt, key: swa, prefix: model}
eps: [1/255]
attacks: [{attack: fgsm}]
"""


def test_weights_of_a_model_are_read_by_their_own_key_and_prefix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite's own file has two sets, another none of its keys, and a third two sets with other names."""
    monkeypatch.chdir(tmp_path)
    states = [
        build_backbone(BackboneSpec(architecture="timm/test_resnet"), 2, seed).state_dict()
        for seed in range(5)
    ]
    torch.save({"raw": states[0], "ema": states[1]}, "ours.pt")
    torch.save(states[2], "theirs.pt")
    torch.save(
        {key: {f"model.{k}": v for k, v in states[i].items()} for key, i in (("raw", 3), ("swa", 4))},
        "both.pt",
    )
    file = tmp_path / "suite.yaml"
    file.write_text(TWO_FILES)
    suite = load_suite(file)
    for model, seed in zip(suite.models, (1, 2, 4), strict=True):
        network, _ = fetch_backbone(suite.backbone_of(model), 0)
        assert all(
            torch.equal(tensor, states[seed][name]) for name, tensor in network.state_dict().items()
        ), model.name

    def said(old: str, new: str) -> str:
        file.write_text(TWO_FILES.replace(old, new))
        assert main(["train", str(file)]) == 2
        return capsys.readouterr().err

    assert "suite.yaml:8: " in (err := said("key: swa", "key: sva"))
    assert "there are no weights under the key 'sva'; the file has: 'raw', 'swa'" in err
    assert "suite.yaml:8: " in (err := said(", key: swa, prefix: model", ""))
    assert (
        "more than one set of weights in it fits this network; say which, beside weights: {key: 'raw',"
        " prefix: 'model.'}" in err
    )
    assert "suite.yaml:7: key chooses within a file; name the file as weights beside it" in said(
        "weights: theirs.pt", "key: ema"
    )
