"""Checkpoints as people have them: each loads as in PyTorch, or is refused with what the suite must say."""

import argparse
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from adapters.backbones.checkpoints import read_checkpoint
from adapters.backbones.networks import build_backbone, fetch_backbone, with_weights
from adapters.backbones.weights import save_weights
from adapters.errors import ModelError
from adapters.spec import BackboneSpec
from tests.adapters.test_models import X

CLASSES = 5
SPEC = BackboneSpec(architecture="timm/test_resnet")
"""15 tensors of timm's smallest network with BatchNorm."""
State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Module:
    return build_backbone(SPEC, CLASSES, seed).eval()


def state(seed: int = 0, prefix: str = "", **more: Any) -> Any:
    return {f"{prefix}{name}": tensor for name, tensor in network(seed).state_dict().items()} | more


def renamed(old: str, new: str, prefix: str = "") -> Any:
    return {prefix + name.replace(old, new): tensor for name, tensor in state().items()}


def but_for_the_head(prefix: str, head: str = "fc") -> Any:
    """All but the last layer under ``prefix``."""
    return {k.replace("fc", head) if "fc" in k else prefix + k: v for k, v in state().items()}


def read(file: Path, saved: object, **choice: str) -> tuple[nn.Module, str]:
    """The network that ``saved`` is read as, by way of the cache, and what is said of it."""
    torch.save(saved, file)
    spec = SPEC.model_copy(update={"weights": str(file), **choice})
    fetched, notes = fetch_backbone(spec, 0)
    save_weights(fetched, file.with_name("cached.safetensors"))
    loaded, classes = with_weights(spec, load_file(file.with_name("cached.safetensors")), "the cache")
    assert classes == CLASSES
    return loaded.eval(), "\n".join(notes)


def same(a: nn.Module, b: nn.Module) -> bool:
    with torch.no_grad():
        return torch.equal(a(X), b(X))


LIGHTNING: dict[str, Any] = {
    "epoch": 3, "global_step": 48, "pytorch-lightning_version": "2.5.0", "loops": {},
    "callbacks": {"best": {"path": "a.ckpt"}},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}],
    "hyper_parameters": {"lr": 0.05},
}  # fmt: skip
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
TIMM = {
    "epoch": 7, "arch": "resnet18", "optimizer": OPTIMIZER, "version": 2, "metric": np.float64(81.5),
    "args": argparse.Namespace(lr=0.1, opt="sgd", path=Path("out")), "amp_scaler": {"scale": 65536.0},
}  # fmt: skip
KNOWN = {
    "plain": (state(), ""),
    "parameters": (
        {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in state().items()}, "",
    ),
    "DataParallel": (state(prefix="module."), "prefix 'module.'"),
    "compiled": (state(prefix="_orig_mod."), "prefix '_orig_mod.'"),
    "compiled, then DataParallel": (state(prefix="module._orig_mod."), "prefix 'module._orig_mod.'"),
    "state_dict": (
        {"epoch": 4, "arch": "x", "state_dict": state(), "best_acc1": torch.tensor(95.0)},
        "under 'state_dict'",
    ),
    "model_state_dict": (
        {"model_state_dict": state(), "optimizer_state_dict": OPTIMIZER}, "under 'model_state_dict'",
    ),
    "net": ({"net": state(prefix="module."), "acc": 94.1}, "under 'net' with the prefix 'module.'"),
    "weights": ({"weights": OrderedDict(state())}, "under 'weights'"),
    "model_ema alone": (
        {"model_ema": state(prefix="module.", n_averaged=torch.tensor(3))}, "left out, .*: n_averaged",
    ),
    "nested": ({"ema": {"shadow": {"state_dict": state()}}}, "under 'ema.shadow.state_dict'"),
    "Lightning": (
        LIGHTNING | {"state_dict": state(prefix="model.")}, "under 'state_dict' with the prefix 'model.'",
    ),
    "Lightning, compiled": (
        LIGHTNING | {"state_dict": state(prefix="model._orig_mod.")}, "prefix 'model._orig_mod.'",
    ),
    "a loss beside it": (
        {"state_dict": state(prefix="backbone.") | {"loss.w": torch.ones(5)}}, "left out, .*: loss.w",
    ),
    "normalised inside": (
        state(prefix="1.") | {"0.mean": torch.ones(3), "0.std": torch.ones(3)},
        "0.std .*give them as mean and std",
    ),
    "timm": (TIMM | {"state_dict": state()}, "under 'state_dict'"),
    "equal twice": ({"state_dict": state(), "state_dict_ema": state()}, "under 'state_dict'"),
    "no counters": (
        {k: v for k, v in state().items() if "num_batches" not in k}, "num_batches_tracked, .* is missing",
    ),
    "epoch beside the weights": (state(epoch=4), ""),
    "a wrapped part": (
        renamed("layer1.", "layer1.module."), "the prefix 'module.' of a wrapper taken out of some",
    ),
    "a wrapped part under a prefix": (
        {"net": renamed("layer1.", "layer1._orig_mod.", "m.")}, "'net' with .*'m.' taken off",
    ),
    "partly wrapped": (but_for_the_head("_orig_mod."), "without the prefix: fc.weight, fc.bias"),
    "a head beside": (but_for_the_head("backbone."), "without the prefix: fc.weight, fc.bias"),
    "half of another network": ({"disc": {"conv.weight": torch.ones(3)}, "gen": state()}, "under 'gen'"),
}  # fmt: skip


@pytest.mark.parametrize(("saved", "said"), KNOWN.values(), ids=KNOWN.keys())
def test_a_checkpoint_loads_as_it_is_and_says_what_was_chosen(
    saved: object, said: str, tmp_path: Path
) -> None:
    loaded, notes = read(tmp_path / "weights.pth.tar", saved)
    assert same(loaded, network())
    assert re.search(said, notes) if said else not notes


TWO = {
    "raw and averaged": ({"state_dict": state(0), "state_dict_ema": state(1)}, {"key": "state_dict_ema"}),
    "model and model_ema": (
        TIMM | {"model": state(0), "model_ema": state(1, "module.")},
        {"key": "model_ema"},
    ),
    "teacher and student": (
        {"state_dict": state(0, "teacher.") | state(1, "student.")},
        {"prefix": "student"},
    ),
    "an average beside": (state(0) | state(1, "ema."), {"prefix": "ema."}),
    "a teacher beside": (state(1) | state(0, "teacher."), {"prefix": ""}),
    "an average inside": (
        {"net": state(0, "m.") | state(1, "m.swa.module.")},
        {"key": "net", "prefix": "m.swa.module."},
    ),
    "best inside last": (state(0) | {"best": state(1)}, {"key": "best"}),
    "last around best": (state(1) | {"best": state(0)}, {"key": ""}),
    "both": (
        {"a": state(0, "m.") | state(2, "n."), "b": state(0, "n.") | state(1, "m.")},
        {"key": "b", "prefix": "m."},
    ),
}


@pytest.mark.parametrize(("saved", "choice"), TWO.values(), ids=TWO.keys())
def test_where_two_readings_fit_the_suite_says_which(
    saved: object, choice: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(
        ModelError, match="more than one set of weights in it fits this network; say which, beside weights: "
    ) as said:
        read(tmp_path / "weights.pt", saved)
    for name, value in choice.items():
        assert f"{name}: '{value}" in str(said.value)
    assert same(read(tmp_path / "weights.pt", saved, **choice)[0], network(1))


@pytest.mark.parametrize(
    ("saved", "choice", "reason"),
    [
        (
            {"state_dict": state()}, {"key": "ema"},
            "no weights under the key 'ema'; the file has: 'state_dict'",
        ),
        (state(), {"prefix": "module"}, "no name there begins with the prefix 'module'"),
        (
            {k: v for k, v in state().items() if not k.startswith("fc.")}, {},
            "missing: fc.weight, fc.bias; .*hold no head",
        ),
        (
            but_for_the_head("net.", "head"), {},
            r"beside the prefix 'net.' are head.weight, .* save it as fc.weight",
        ),
        ({k: v for k, v in state().items() if k != "fc.bias"}, {}, "missing: fc.bias$"),
        (renamed("layer1.", "layer1.module.") | state(1), {}, "unknown: layer1.module.0.conv1"),
        (
            {"state_dict": state(prefix="a.") | {"a.x": torch.ones(1)}}, {},
            r"prefix: 'a.'}\) does not fit .*unknown: x",
        ),
        (state() | {"extra.weight": torch.ones(1)}, {}, "unknown: extra.weight"),
        ({"epoch": 3}, {}, "not a plain state dict"),
        ([state()], {}, "not a plain state dict"),
        ({"state_dict": {"w": torch.ones(2)}}, {}, "missing: conv1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_reason(
    saved: object, choice: dict[str, str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=reason):
        read(tmp_path / "weights.pt", saved, **choice)


def changed(change: Any) -> Any:
    """The state with its first convolution, or the tensor that is named, changed."""
    whole = state()
    name = next(iter(whole))
    return whole | {name: change(whole[name])}


def quantised(tensor: Tensor) -> Tensor:
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: (t * 100).to(torch.int8), "conv1.* is int8, not float32"),
        (lambda t: t.to(torch.complex64), "is complex64, not float32"),
        (lambda t: t.to(torch.float8_e4m3fn), "is float8_e4m3fn, not float32"),
        (lambda t: t > 0, "is bool, not float32"),
        (lambda t: t.to_sparse(), "is a Tensor of sparse_coo"),
        (lambda t: t.to("meta"), "is a meta tensor, without values"),
        (quantised, "is quantised"),
        (
            lambda t: t.clone().index_fill_(0, torch.tensor(0), float("nan")),
            r"not finite \(NaN or infinity\): conv1",
        ),
        (lambda t: t.double() * 1e300, "not finite"),
        (lambda _: torch.ones(1).expand(10**6, 10**6), "conv1.* is 1000000 x 1000000, not "),
        (lambda _: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "missing: conv1"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_weights_are_refused_by_name(change: Any, reason: str, tmp_path: Path) -> None:
    for saved in (changed(change), {"state_dict": changed(change)}):
        with pytest.raises(ModelError, match=reason) as caught:
            read(tmp_path / "weights.pt", saved)
        assert str(caught.value).startswith(str(tmp_path))
    with pytest.raises(ModelError):
        read(tmp_path / "weights.pt", {"state_dict": changed(change), "state_dict_ema": changed(change)})


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_other_precisions_are_those_that_torch_copies(kind: torch.dtype, tmp_path: Path) -> None:
    saved = {
        name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in state().items()
    }
    loaded, notes = read(tmp_path / "weights.pt", saved)
    theirs = network(1)
    theirs.load_state_dict(saved)
    assert same(loaded, theirs)
    assert not notes  # exact in float32
    if kind == torch.float64:
        saved = {
            name: tensor + 1e-9 if tensor.is_floating_point() else tensor for name, tensor in saved.items()
        }
        assert "its float64 weights are rounded to float32" in read(tmp_path / "weights.pt", saved)[1]


@pytest.mark.parametrize(
    ("architecture", "old"), [("densenet121", r"norm.1."), ("vit_b_32", ".mlp.linear_1.")]
)
def test_old_names_of_torchvision(architecture: str, old: str, tmp_path: Path) -> None:
    made = build_backbone(BackboneSpec(architecture=architecture), 2, 0)
    new = {"norm.1.": "norm1.", ".mlp.linear_1.": ".mlp.0."}[old]
    saved = {name.replace(new, old): tensor for name, tensor in made.state_dict().items()}
    if architecture == "vit_b_32":
        saved = {name.replace(".mlp.3.", ".mlp.linear_2."): tensor for name, tensor in saved.items()}
    assert any(old in name for name in saved)
    torch.save(saved, tmp_path / "old.pth")
    weights = read_checkpoint(tmp_path / "old.pth", made)
    wanted = made.state_dict()
    assert weights.state.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights.state.items())
    assert "torchvision's old names are brought up to date" in weights.notes[0]


def test_buffers_that_a_network_makes_itself_are_left_out(tmp_path: Path) -> None:
    spec = BackboneSpec(architecture="timm/swin_tiny_patch4_window7_224")
    made = build_backbone(spec, 2, 0)
    buffers = {n: b for n, b in made.named_buffers() if n not in made.state_dict()}
    assert buffers
    torch.save(made.state_dict() | buffers, tmp_path / "old.pth")
    assert (
        "left out, since the network makes them itself"
        in read_checkpoint(tmp_path / "old.pth", made).notes[0]
    )
    name = next(name for name, buffer in buffers.items() if buffer.numel())
    torch.save(made.state_dict() | buffers | {name: buffers[name] + 1}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=f"unknown: {name}"):
        read_checkpoint(tmp_path / "other.pth", made)


class Tied(nn.Module):
    """One weight under two names, and a module in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.again = self.a


def test_tied_tensors_are_written_under_each_name_and_come_back_tied(tmp_path: Path) -> None:
    made, other = Tied(), Tied()
    save_weights(made, tmp_path / "all.safetensors")
    other.load_state_dict(read_checkpoint(tmp_path / "all.safetensors", other).state)
    assert torch.equal(other.b.weight, made.a.weight)
    assert other.b.weight is other.a.weight
    save_model(made, str(tmp_path / "once.safetensors"))
    once = read_checkpoint(tmp_path / "once.safetensors", Tied())
    assert "filled in, being one tensor with another name of the network" in once.notes[0]
    assert all(torch.equal(once.state[name], tensor) for name, tensor in made.state_dict().items())


def test_tied_tensors_that_differ_in_the_file_are_refused(tmp_path: Path) -> None:
    from adapters.backbones.weights import load_strictly

    state = {name: tensor.clone() for name, tensor in Tied().state_dict().items()}
    save_file(state | {"b.weight": torch.ones(3, 3)}, tmp_path / "torn.safetensors")
    weights = read_checkpoint(tmp_path / "torn.safetensors", Tied())
    with pytest.raises(
        ModelError, match=r"one tensor here, but different ones there: a\.weight and b\.weight"
    ):
        load_strictly(Tied(), weights.state, "the file")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused_unread(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "honest.pt")
    with (
        zipfile.ZipFile(tmp_path / "honest.pt") as honest,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in honest.namelist():
            bomb.writestr(name, honest.read(name) if name.endswith("data.pkl") else bytes(2**20))
    with pytest.raises(
        ModelError, match=r"bomb.pt: refused, since its [\d,]+ bytes declare [\d,]+ once unpacked"
    ):
        read_checkpoint(tmp_path / "bomb.pt", network())


@pytest.mark.parametrize("name", ["x" * 5000 + ".pt", "a\0b.pt", "."])
def test_names_that_no_file_has(name: str) -> None:
    with pytest.raises(ModelError, match="no such weights file") as caught:
        read_checkpoint(Path(name), network())
    assert len(str(caught.value)) < 300


def test_a_file_is_read_as_what_it_is_whatever_its_name(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "weights.pt")
    torch.save(state(), tmp_path / "weights.safetensors")
    for name in ("weights.pt", "weights.safetensors"):
        assert read_checkpoint(tmp_path / name, network()).state.keys() == state().keys()


def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(
        ModelError, match=r"script.pt: a TorchScript archive, which is code; save the model's state_dict"
    ):
        read_checkpoint(tmp_path / "script.pt", network())
