"""Exported networks: TorchScript with gradients, ONNX without, and ONNX converted to PyTorch."""

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

import bench
from adapters.backbones.networks import find_head
from adapters.backbones.sources import source_of
from adapters.errors import ModelError
from adapters.spec import BackboneSpec
from bench.cli.commands import main
from bench.errors import UserError
from tests.builders.plain import ATTACKS, batch, by_bench, by_hand, fit_head, pictures, save_pictures

SIZE = 32
NAMES = ["cat", "dog", "cow"]
LABELS = [i % 3 for i in range(24)]
SUITE = """name: s
backbone: {{architecture: {architecture}, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], {more}}}
data: {{source: imagefolder, path: photos, classes: [cat, dog, cow]}}
models: [{{name: m, adaptation: {{{adaptation}}}}}]
"""
SQUARE = """eps: [32/255]
attacks: [{attack: square, steps: 60}]
trust: TRUST
"""
OPSET = 17


def network(size: int = SIZE) -> nn.Module:
    """A convolution, batch normalisation, a pool and a head that calls the pictures LABELS."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(),
            nn.Linear(8 * (size // 8 - 1) ** 2, 3),
        ).eval()  # fmt: skip
    fit_head(made, find_head(made)[1], normalised(batch(pictures(24, size))), LABELS)
    return made


def normalised(x: torch.Tensor) -> torch.Tensor:
    return (x - 0.5) / 0.25


def script(file: Path, made: nn.Module) -> None:
    saved: Any = torch.jit.script(made)
    saved.save(str(file))


def export(file: Path, made: nn.Module, *, free_batch: bool = True, size: int = SIZE) -> None:
    axes = {"dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}} if free_batch else {}
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "opset_version": OPSET, **axes}
    torch.onnx.export(made, (torch.zeros(1, 3, size, size),), str(file), dynamo=False, **names)


def suite(
    folder: Path, architecture: str, attacks: str = ATTACKS, adaptation: str = "method: none", more: str = ""
) -> Path:
    save_pictures(folder / "photos", pictures(24, SIZE), [NAMES[label] for label in LABELS])
    text = SUITE.format(architecture=architecture, adaptation=adaptation, more=more)
    (folder / "suite.yaml").write_text(text + attacks)
    return folder / "suite.yaml"


def run(folder: Path, *said: Any, only: str = "*/foolbox", **more: Any) -> Any:
    return bench.run(suite(folder, *said, **more), results=folder / "results", only=only, allow_code=True)


def shown(result: bench.Result) -> str:
    return " ".join(str(result).split())


@pytest.mark.parametrize("library", ["foolbox", "art"])
@pytest.mark.parametrize("kind", ["torchscript", "traced", "onnx2torch"])
def test_a_form_with_gradients_is_attacked_as_a_plain_loop_attacks_it(
    kind: str, library: str, tmp_path: Path
) -> None:
    made = network()
    if kind == "onnx2torch":
        export(tmp_path / "net.onnx", made)
        result = run(tmp_path, "onnx2torch/net.onnx", only=f"*/{library}")
    else:
        traced: Any = torch.jit.trace(made, torch.zeros(1, 3, SIZE, SIZE))  # type: ignore[no-untyped-call]
        (traced if kind == "traced" else torch.jit.script(made)).save(str(tmp_path / "net.pt"))
        result = run(tmp_path, "torchscript/net.pt", only=f"*/{library}")
    plain = by_hand(lambda x: made(normalised(x)), pictures(24, SIZE), LABELS)
    assert by_bench(result, "m", library) == plain
    assert plain["clean"] != plain["fgsm"]


def test_torchscript_is_code_that_a_suite_never_runs_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the file is even read: it would be refused for another reason."""
    (tmp_path / "net.pt").write_bytes(b"whatever")
    assert (
        main(["run", str(suite(tmp_path, "torchscript/net.pt")), "--results", str(tmp_path / "results")]) == 2
    )
    said = capsys.readouterr().err
    assert "suite.yaml:2: " in said
    assert "is code, which a suite never runs on its own; if you trust it, give --allow-code" in said
    spec = BackboneSpec(architecture=f"torchscript/{tmp_path / 'net.pt'}")
    with pytest.raises(ModelError, match="is code, which runs only where whoever starts the run allows it"):
        source_of(spec).make(spec, 3)


@pytest.mark.parametrize("trace", [True, False])
def test_torchscript_for_another_size_of_images_is_said_in_a_line(trace: bool, tmp_path: Path) -> None:
    made: Any = network()
    kept = torch.jit.trace(made, torch.zeros(1, 3, SIZE, SIZE)) if trace else torch.jit.script(made)  # type: ignore[no-untyped-call]
    kept.save(str(tmp_path / "net.pt"))
    with pytest.raises(UserError) as error:
        run(tmp_path, "torchscript/net.pt", more="input_size: 16")
    assert str(error.value).endswith(
        "suite.yaml:4: the backbone cannot take images of 3 x 32 x 32 scaled to 16 px (mat1 and mat2 shapes"
        " cannot be multiplied (1x8 and 72x3)); set data.size, or the backbone's input_size, to what it was"
        " made for"
    )


def test_another_file_is_another_model_wherever_it_lies(tmp_path: Path) -> None:
    made, keys = network(), []
    for name in ("a.pt", "b.pt"):
        script(tmp_path / name, made)
        keys.append(run(tmp_path, f"torchscript/{name}", only="*/fgsm/foolbox").run.header.models[0].sha256)
    nn.init.constant_(find_head(made)[1].bias, 0.01)
    script(tmp_path / "b.pt", made)
    keys.append(run(tmp_path, "torchscript/b.pt", only="*/fgsm/foolbox").run.header.models[0].sha256)
    assert keys[2] not in keys[:2]


@pytest.mark.parametrize("free_batch", [True, False])
def test_onnx_is_attacked_by_black_box_attacks_as_pytorch_is(free_batch: bool, tmp_path: Path) -> None:
    made = network()
    export(tmp_path / "net.onnx", made, free_batch=free_batch)
    script(tmp_path / "net.pt", made)
    attacks = SQUARE.replace("TRUST", "off")
    ours = run(tmp_path, "onnx/net.onnx", attacks, only="*")
    theirs = run(tmp_path, "torchscript/net.pt", attacks, only="*")
    assert by_bench(ours, "m", "art") == by_bench(theirs, "m", "art")
    assert by_bench(ours, "m", "art")["square"] != by_bench(ours, "m", "art")["clean"]
    assert "ONNX Runtime computes no gradients: only black-box attacks apply" in shown(ours)


def test_the_trust_of_numbers_without_gradients_says_so(tmp_path: Path) -> None:
    export(tmp_path / "net.onnx", network())
    result = run(
        tmp_path, "onnx/net.onnx", SQUARE.replace("TRUST", "fast").replace("32/255", "4/255"), only="*"
    )
    (cell,) = result.card.cells
    found = {f.check: f.grade for f in cell.trust.findings}
    assert found["no-gradients"] == "warn"
    assert cell.trust.grade == "warn"
    assert not {"gradients", "slope"} & found.keys()
    assert "failed" not in shown(result)
    assert result.leaderboard["rank"].tolist() == [1]


def test_white_box_attacks_on_onnx_are_refused_at_their_line(tmp_path: Path) -> None:
    export(tmp_path / "net.onnx", network())
    message = (
        r"suite.yaml:6: 'fgsm' follows gradients, which the model m \(net.onnx\) does not give: .*"
        r" onnx2torch/net.onnx"
    )
    with pytest.raises(UserError, match=message):
        run(tmp_path, "onnx/net.onnx")
    ensemble = "eps: [8/255]\nattacks: [{attack: strong}]\n"
    with pytest.raises(UserError, match="'strong' follows gradients"):
        run(tmp_path, "onnx/net.onnx", ensemble)


def test_a_dry_run_needs_no_gradient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tmp_path / "net.onnx", network())
    file = suite(tmp_path, "onnx/net.onnx", SQUARE.replace("TRUST", "off"))
    assert main(["run", str(file), "--results", str(tmp_path / "results"), "--dry-run"]) == 0
    assert "m/0/square" in capsys.readouterr().out


@pytest.mark.parametrize(
    "adaptation",
    ["method: full", "method: head", "method: lora, targets: ['5']", "method: peft, path: photos"],
)
@pytest.mark.parametrize("kind", ["torchscript/net.pt", "onnx2torch/net.onnx"])
def test_nothing_is_adapted_that_is_frozen(kind: str, adaptation: str, tmp_path: Path) -> None:
    export(tmp_path / "net.onnx", network())
    script(tmp_path / "net.pt", network())
    with pytest.raises(
        UserError,
        match=r"suite.yaml:4: '\w+': net\.\w+ is a network as it was exported: nothing is trained on it",
    ):
        run(tmp_path, kind, adaptation=adaptation)


def test_the_size_of_an_onnx_graph_is_the_images_size(tmp_path: Path) -> None:
    export(tmp_path / "net.onnx", network(48), size=48)
    result = run(tmp_path, "onnx/net.onnx", SQUARE.replace("TRUST", "off"), only="*")
    assert result.run.header.data.size == 48


def external(file: Path) -> None:
    export(file, network())
    onnx.save_model(
        onnx.load(file), file, save_as_external_data=True, location="weights.bin", size_threshold=0
    )


def channels_last(file: Path) -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2))

    torch.onnx.export(Last(), (torch.zeros(1, SIZE, SIZE, 3),), str(file), dynamo=False, opset_version=OPSET)


def two_inputs(file: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (x + y).mean((2, 3))

    image = torch.zeros(1, 3, SIZE, SIZE)
    torch.onnx.export(Two(), (image, image), str(file), dynamo=False, opset_version=OPSET)


def of_bytes(file: Path) -> None:
    class Bytes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float().mean((2, 3))

    torch.onnx.export(
        Bytes(),
        (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8),),
        str(file),
        dynamo=False,
        opset_version=OPSET,
    )


def four_classes(file: Path) -> None:
    export(file, nn.Sequential(*list(network().children())[:-1], nn.Linear(72, 4)))


def damaged(file: Path) -> None:
    file.write_bytes(b"no graph")


WRONG: list[tuple[Any, str]] = [
    (external, "ONNX Runtime cannot load this graph"),
    (
        channels_last,
        "takes images of 1 x 32 x 32 x 3; export it with one input, images N x 3 x H x W as floats",
    ),
    (two_inputs, "takes 2 inputs; export it with one input"),
    (of_bytes, "takes tensor(uint8) of 1 x 3 x 32 x 32; export it"),
    (four_classes, "has 4 classes, the data have 3"),
    (damaged, "ONNX Runtime cannot load this graph"),
    (lambda _: None, "net.onnx: no such file; looked for it from"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_a_graph_that_cannot_be_used_is_refused_with_the_way_out(
    make: Any, message: str, tmp_path: Path
) -> None:
    make(tmp_path / "net.onnx")
    with pytest.raises(UserError) as error:
        run(tmp_path, "onnx/net.onnx", SQUARE.replace("TRUST", "off"), only="*")
    assert message in str(error.value)


def test_what_is_no_torchscript_is_named(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    with pytest.raises(
        UserError,
        match=r"suite.yaml:2: .*net.pt: not a complete TorchScript archive .* name a state dict as weights",
    ):
        run(tmp_path, "torchscript/net.pt")
    script(tmp_path / "net.pt", network())
    with pytest.raises(
        UserError, match=r"suite.yaml:2: weights: the file net.pt is the whole network; leave weights out"
    ):
        run(tmp_path, "torchscript/net.pt", more="weights: net.pt")


def test_a_graph_that_onnx2torch_does_not_know_may_be_attacked_without_gradients(tmp_path: Path) -> None:
    export(tmp_path / "net.onnx", network())
    graph = onnx.load(tmp_path / "net.onnx")
    graph.opset_import[0].version = 21
    onnx.save_model(graph, tmp_path / "net.onnx")
    with pytest.raises(
        UserError,
        match=r"onnx2torch cannot convert this graph .* or attack it without gradients, as onnx/FILE",
    ):
        run(tmp_path, "onnx2torch/net.onnx")


@pytest.mark.parametrize(("kind", "package"), [("onnx", "onnxruntime"), ("onnx2torch", "onnx2torch")])
def test_without_the_package_the_extra_is_named(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export(tmp_path / "net.onnx", network())
    monkeypatch.setitem(sys.modules, package, None)
    spec = BackboneSpec(architecture=f"{kind}/{tmp_path / 'net.onnx'}")
    with pytest.raises(
        ModelError, match=rf"{package} is not installed; pip install 'lora-robustness-bench\[onnx\]'"
    ):
        source_of(spec).check(spec)


def test_runs_of_exported_networks_are_reproduced_bitwise(tmp_path: Path) -> None:
    export(tmp_path / "net.onnx", network())
    result = run(tmp_path, "onnx/net.onnx", SQUARE.replace("TRUST", "off"), only="*")
    assert main(["reproduce", str(result.path)]) == 0
    script(tmp_path / "net.pt", network())
    result = run(tmp_path, "torchscript/net.pt", only="*")
    assert main(["reproduce", str(result.path)]) == 2
    assert main(["reproduce", str(result.path), "--allow-code"]) == 0
