"""Networks that the user's own code makes: allowed, run, told apart by content, and refused where unfit."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bench
from bench.cli.commands import main
from bench.suite.permission import settings_file
from tests.builders.plain_loop import briefly_trained, fgsm, pgd, right
from tests.builders.small import digits

LAYERS = """
from torch import nn

def block(inside, outside):
    convolution = nn.Conv2d(inside, outside, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2))
"""
MODELS = """
from torch import nn

from .parts.layers import block

class Net(nn.Module):
    def __init__(self, width=4, num_classes=10):
        super().__init__()
        self.stem, self.body = block(3, width), block(width, 2 * width)
        self.head = nn.Linear(2 * width * 64, num_classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).flatten(1))

def build(width=4, num_classes=10):
    return Net(width, num_classes)
"""
SUITE: dict[str, Any] = {
    "name": "own",
    "backbone": {
        "architecture": "my_pkg.models:build",
        "kwargs": {"width": 6},
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
    },
    "data": {"classes": [0, 1, 2, 3, 4], "samples": 30, "train_per_class": 20},
    "training": {"epochs": 2, "augmentation": "none", "schedule": "constant", "lr": 0.02},
    "models": [{"name": "m", "adaptation": {"method": "none"}}],
    "eps": ["4/255", "16/255"],
    "attacks": [
        {"attack": "fgsm"},
        {"attack": "pgd", "steps": 4, "rel_step_size": 0.4, "random_start": False},
    ],
    "trust": "off",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, where the suite is; the user's settings are elsewhere, and empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "my_pkg/parts").mkdir(parents=True)
    for name, text in (
        ("__init__.py", ""),
        ("models.py", MODELS),
        ("parts/__init__.py", ""),
        ("parts/layers.py", LAYERS),
    ):
        (tmp_path / "my_pkg" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "suite.yaml"
    file.write_text(json.dumps({**SUITE, **changes}))
    return file


def run(folder: Path, **changes: Any) -> bench.Result:
    return bench.run(written(folder, **changes), results=folder / "results", allow_code=True)


def trained_net() -> nn.Module:
    """The package's Net, trained for a moment."""
    from my_pkg.models import Net  # type: ignore[import-not-found]

    torch.manual_seed(0)
    return briefly_trained(Net(6, 5), digits("train"), 0.5, 0.25)


def plain_successes(network: nn.Module, result: bench.Result) -> dict[tuple[str, str], np.ndarray]:
    """By attack and eps, which of the samples of ``result`` a plain loop breaks."""
    images = digits("test")
    index = [
        images.ids.index(i)
        for i in result.samples.query("attack == 'fgsm' and eps == '4/255' and library == 'art'")["id"]
    ]
    x, y = torch.from_numpy(images.x[index]), torch.from_numpy(images.labels[index])

    def logits(x: torch.Tensor) -> torch.Tensor:
        return network((x - 0.5) / 0.25)  # type: ignore[no-any-return]

    clean = right(logits, x, y)
    found: dict[tuple[str, str], np.ndarray] = {}
    for eps in (4, 16):
        ways = {
            "fgsm": fgsm(logits, x, y, eps / 255),
            "pgd-4": pgd(logits, x, y, eps / 255, steps=4, rel_step_size=0.4),
        }
        found |= {(name, f"{eps}/255"): clean & ~right(logits, x_adv, y) for name, x_adv in ways.items()}
    return found


def test_a_package_s_class_is_attacked_as_a_plain_loop_does_sample_by_sample(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    try:
        network = trained_net()
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.startswith("my_pkg")]:
            del sys.modules[name]
    torch.save(
        {"state_dict": {f"model.{k}": v for k, v in network.state_dict().items()}}, folder / "net.ckpt"
    )
    result = run(folder, backbone={**SUITE["backbone"], "weights": "net.ckpt"})
    expected = plain_successes(network, result)
    assert sum(flags.sum() for flags in expected.values()) > 20
    for (attack, eps, _), rows in result.samples.groupby(["attack", "eps", "library"]):
        np.testing.assert_array_equal(rows["success"].to_numpy(), expected[attack, eps])


def test_adaptations_by_name_train_and_are_reproduced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = {"method": "lora", "r": 2, "targets": ["head", "stem.0"]}
    models = [
        {"name": "full"},
        {"name": "head", "adaptation": {"method": "head"}},
        {"name": "lora", "adaptation": lora},
    ]
    suite = written(folder, models=models)
    assert main(["train", str(suite), "--allow-code"]) == 0
    result = run(folder, models=models)
    assert dict(
        zip(result.leaderboard["model"], result.leaderboard["trainable_parameters"], strict=True)
    ) == {
        "full": sum(p.numel() for p in _net(folder).parameters()),
        "head": 5 * (12 * 64 + 1),
        "lora": 2 * (12 * 64 + 5) + 2 * (27 + 6),
    }
    again = ["reproduce", str(result.path), "--format", "json"]
    assert main(again) == 2
    assert "my_pkg.models:build is code, which a suite never runs on its own" in capsys.readouterr().err
    assert main([*again, "--allow-code"]) == 0
    assert {cell["verdict"] for cell in json.loads(capsys.readouterr().out)["outcomes"]} == {"bitwise equal"}
    misnamed = {**lora, "targets": ["haed"]}
    with pytest.raises(
        bench.UserError, match=r"suite.yaml:1: target 'haed' is not a layer.*did you mean 'head'"
    ):
        run(folder, models=[{"name": "m", "adaptation": misnamed}])
    (folder / "my_pkg").rename(folder / "elsewhere")
    assert main([*again, "--allow-code"]) == 2
    assert "no module 'my_pkg.models'" in capsys.readouterr().err


def _net(folder: Path) -> nn.Module:
    from adapters.backbones.networks import build_backbone
    from adapters.backbones.sources import source_of
    from adapters.spec import BackboneSpec

    spec = BackboneSpec(architecture="my_pkg.models:build", kwargs={"width": 6})
    return build_backbone(source_of(spec).located(spec, [folder]), 5, 0)


def keys(result: bench.Result) -> list[str]:
    return sorted(file.stem for file in (result.path / "cells").glob("*.parquet"))


@pytest.mark.parametrize("file", ["models.py", "parts/layers.py", "parts/__init__.py"])
def test_a_changed_line_of_what_is_imported_is_another_model(folder: Path, file: str) -> None:
    models = [{"name": "m"}]
    before = run(folder, models=models)
    (folder / "my_pkg/unused.py").write_text("x = 1\n")
    assert keys(run(folder, models=models)) == keys(before)
    changed = folder / "my_pkg" / file
    changed.write_text(changed.read_text().replace("return self.head", "return 3 * self.head") + "#\n")
    after = run(folder, models=models)
    assert not set(keys(after)) & set(keys(before))
    if file == "models.py":
        assert not np.array_equal(after.samples["adv_prob"], before.samples["adv_prob"])
    shared = folder / "moved"
    shared.mkdir()
    (folder / "my_pkg").rename(shared / "my_pkg")
    architecture = {**SUITE["backbone"], "architecture": "moved/my_pkg/models.py:build"}
    assert keys(run(folder, models=models, backbone=architecture)) == keys(after)


def test_a_same_sized_change_is_seen_though_the_file_was_imported_and_compiled(folder: Path) -> None:
    (folder / "one.py").write_text(
        MODELS.replace(".parts.layers", "blocks").replace("x)).flatten(1))", "x)).flatten(1)) * 2")
    )
    (folder / "blocks.py").write_text(LAYERS)
    backbone = {**SUITE["backbone"], "architecture": "one.py:Net"}
    before = run(folder, models=[{"name": "m"}], backbone=backbone)
    blocks = folder / "blocks.py"
    blocks.write_text(LAYERS.replace("ReLU", "SELU"))
    after = run(folder, models=[{"name": "m"}], backbone=backbone)
    assert not set(keys(after)) & set(keys(before))
    assert not np.array_equal(after.samples["adv_prob"], before.samples["adv_prob"])


HOSTILE = [
    "os:system", "subprocess:run", "evil.py:build", "evil:build", "../{0}/evil.py:build", "{1}/evil.py:build",
    "pkg.evil:build", "./evil.py:build", "evil.py:build.__globals__", "evil.py", ":", "evil:", "..:x",
    "posix:system",
]  # fmt: skip


@pytest.mark.parametrize("architecture", HOSTILE)
@pytest.mark.parametrize("place", ["suite", "model", "matrix"])
def test_a_suite_alone_runs_nothing(
    folder: Path, architecture: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "from pathlib import Path\nPath('pwned').touch()\ndef build(**_): Path('pwned').touch()\n"
    (folder / "pkg").mkdir()
    for file in ("evil.py", "pkg/evil.py", "pkg/__init__.py"):
        (folder / file).write_text(evil)
    named = {"architecture": architecture.format(folder.name, folder), "kwargs": {"command": "touch pwned"}}
    model = {"name": "m", "adaptation": {"method": "lora", "targets": ["fc"]}}
    places: dict[str, dict[str, Any]] = {
        "suite": {"backbone": named},
        "model": {"backbone": {}, "models": [{**model, "backbone": named}]},
        "matrix": {"backbone": {}, "models": [], "matrix": {"targets": {"fc": ["fc"]}, "backbone": named}},
    }
    suite = str(written(folder, **places[place]))
    for command in (["run", suite], ["run", suite, "--dry-run"], ["train", suite]):
        assert main(command) == 2
        assert "is code, which a suite never runs on its own" in capsys.readouterr().err
    assert not (folder / "pwned").exists()
    assert main(["run", suite, "--allow-code"]) == 2
    if architecture.partition(":")[0] in {"os", "subprocess", "posix"}:
        assert not (folder / "pwned").exists()


def test_the_user_s_own_settings_allow_code_below_their_folders(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, settings = str(written(folder)), settings_file()
    assert settings.is_relative_to(folder / "config")
    settings.parent.mkdir(parents=True)
    for text, allowed in (
        ("allow_code: true", True), (f"allow_code: [{folder}]", True),
        (f"allow_code: [{folder}/other]", False), ("allow_code: false", False), ("", False),
    ):  # fmt: skip
        settings.write_text(text)
        code = main(["run", suite, "--dry-run"])
        said = capsys.readouterr()
        assert (code == 0) is allowed, said.err
        assert ("settings.yaml" in said.err) is not allowed
    for text, message in (
        ("allow_code: true\nallow_kode: true", "settings.yaml:2"),
        ("allow_code: [models]", "not an absolute path"),
        ("allow_code: 3", "settings.yaml:1"), ("- a", "settings.yaml:1"), ("allow_code: [", "not valid YAML"),
    ):  # fmt: skip
        settings.write_text(text)
        assert main(["run", suite, "--dry-run"]) == 2
        assert message in capsys.readouterr().err


FORMS = """
import torch
from torch import nn
import torch.nn.functional as F

class Base(nn.Module):
    def __init__(self, num_classes=5):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 64, num_classes)
    def logits(self, x):
        return self.head(self.norm(self.conv(x)).relu().flatten(1))
    def forward(self, x):
        return self.logits(x)
class Pair(Base):
    def forward(self, x): return self.logits(x), x
class Table(Base):
    def forward(self, x): return {"logits": self.logits(x)}
class Probabilities(Base):
    def forward(self, x): return self.logits(x).softmax(1)
class Others(Base):
    def forward(self, x): return torch.cat([self.logits(x), self.logits(x)[:, :2]], 1)
class Training(Base):
    def train(self, mode=True): return super().train(True)
class Switches(Base):
    def forward(self, x):
        self.norm.train()
        return self.logits(x)
class NoStatistics(Base):
    def __init__(self, num_classes=5):
        super().__init__(num_classes)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)
class Pixels(Base):
    def forward(self, x): return self.conv(x)
class Broken(Base):
    def forward(self, x): return self.logits(x) * float("nan")
class Dropped(Base):
    def forward(self, x): return F.dropout(self.logits(x), 0.5, training=True)
class Numbers(Base):
    def forward(self, x): return self.logits(x).argmax(1, keepdim=True).expand(-1, 5)
class Raises(Base):
    def forward(self, x): raise RuntimeError("not today")
class Drawn(Base):
    def __init__(self, num_classes=5):
        super().__init__(num_classes)
        self.shift = torch.randn(3)
class Plain: pass
class NotTheHead(Base):
    def __init__(self, num_classes=5):
        super().__init__(5)
        self.zz = nn.Linear(2, 2)
def text(): return "network"
def needs(width): return Base()
def fails(): raise ValueError("no such width")
def leaves(): raise SystemExit(3)
number = 3
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Pair", "gives a tuple, not a tensor of logits; return the logits alone, like output[0]"),
        ("Table", "gives a dict, not a tensor of logits"),
        ("Probabilities", "gives probabilities, which sum to 1, not logits"),
        ("Others", "gives 5 values, but the network 7 logits: it is not the head"),
        ("Training", "is in training mode"),
        ("Switches", "norm is in training mode (BatchNorm2d)"),
        ("NoStatistics", "norm (BatchNorm2d) has no running statistics"),
        ("Pixels", "gives logits for each pixel, 1 x 4 x 8 x 8"),
        ("Broken", "logits are not finite"),
        ("Dropped", "gives different logits for the same images"),
        ("Numbers", "gives torch.int64 values, like class numbers"),
        ("Raises", "cannot take images of 3 x 32 x 32 (not today)"),
        ("Drawn", "draws 'shift.0' at random, and does not keep it in its state dict"),
        ("Plain", "is a class, but not a torch.nn.Module"),
        (
            "NotTheHead",
            "the last linear layer of this backbone, 'zz', gives 2 values, but the network 5 logits",
        ),
        ("text", "gives a str, not a torch.nn.Module"),
        ("needs", "needs 'width'; give it here"),
        ("fails", "forms:fails fails: ValueError: no such width (FOLDER/forms.py:"),
        ("leaves", "forms:leaves fails: SystemExit: 3"),
        ("number", "forms.py:number is a int"),
        ("gone", "forms has no 'gone'"),
    ],
)
def test_what_is_no_classifier_is_refused_by_name(
    folder: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "forms.py").write_text(FORMS)
    suite = written(folder, backbone={"architecture": f"forms.py:{name}"}, models=[{"name": "m"}])
    assert main(["run", str(suite), "--results", str(folder / "results"), "--allow-code"]) == 2
    error = capsys.readouterr().err
    assert said.replace("FOLDER", str(folder)) in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("backbone", "line", "said"),
    [
        ({"kwargs": {"widht": 3}}, 4, "has no argument 'widht'; did you mean 'width'?"),
        ({"architecture": "my_pkg.modles:build"}, 3, "no module 'my_pkg.modles'"),
        ({"architecture": "my_pkg/modles.py:build"}, 3, "my_pkg/modles.py: no such file"),
        ({"architecture": "my_pkg.models:biuld"}, 3, "my_pkg.models has no 'biuld'"),
        ({"architecture": "os:system"}, 3, "os: belongs to Python itself"),
        ({"architecture": "bad.py:build"}, 3, "bad.py:2: not valid Python"),
        (
            {"architecture": "raises.py:build"},
            3,
            "raises:build cannot be imported: ZeroDivisionError: division by zero",
        ),
        ({"weights": "gone.pt"}, 5, "gone.pt: no such file"),
    ],
)
def test_mistakes_are_named_at_their_line(
    folder: Path, backbone: dict[str, Any], line: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.py").write_text("x = 1\ndef\n")
    (folder / "raises.py").write_text("1 / 0\n")
    named = {"architecture": "my_pkg.models:build", "kwargs": {}, "weights": None, **backbone}
    listed = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in named.items())
    rest = json.dumps({**SUITE, "models": [{"name": "m"}], "backbone": 0})[1:-1]
    suite = folder / "suite.yaml"
    suite.write_text("{" + rest.replace('"backbone": 0', f'\n"backbone": {{\n{listed}}}') + "}")
    assert main(["run", str(suite), "--allow-code"]) == 2
    error = capsys.readouterr().err
    assert f"suite.yaml:{line}: " in error
    assert said in error


def test_weights_that_the_code_brings_are_trained_ones_and_followed_when_they_change(folder: Path) -> None:
    (folder / "brings.py").write_text(
        "import torch\nfrom my_pkg.models import Net\ndef build():\n    net = Net(6, 5)\n   "
        " net.load_state_dict(torch.load('w.pt', weights_only=True))\n    return net\n"
    )
    torch.save(_net(folder).state_dict(), folder / "w.pt")
    backbone = {**SUITE["backbone"], "architecture": "brings.py:build", "kwargs": {}}
    result = run(folder, backbone=backbone)
    assert "random" not in str(result)
    assert result.leaderboard["parameters"].tolist() == [sum(p.numel() for p in _net(folder).parameters())]
    lora = {"name": "m", "adaptation": {"method": "lora", "targets": ["head"]}}
    assert run(
        folder, backbone=backbone, models=[lora], data={**SUITE["data"], "classes": [0, 1, 2]}
    ).is_complete


def test_what_is_imported_behind_the_reader_s_back_is_in_the_key_too(folder: Path) -> None:
    (folder / "sly.py").write_text(
        "import importlib\nlayers = importlib.import_module('hid' + 'den')\nfrom my_pkg.models import Net\n"
        "class Sly(Net):\n    def forward(self, x):\n        return layers.scale * super().forward(x)\n"
    )
    hidden = folder / "hidden.py"
    backbone = {**SUITE["backbone"], "architecture": "sly.py:Sly"}
    found = []
    for text in ("scale = 1", "scale = 2"):
        hidden.write_text(text)
        found.append(run(folder, backbone=backbone, models=[{"name": "m"}]))
    assert not set(keys(found[0])) & set(keys(found[1]))
    assert not np.array_equal(found[0].samples["adv_prob"], found[1].samples["adv_prob"])
