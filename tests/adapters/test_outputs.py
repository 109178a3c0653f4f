"""A network with other outputs than the data's classes: a choice of them, in another order, or one logit
for two classes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import bench
from adapters.backbones.choosing import chosen_outputs, imagenet_names
from adapters.backbones.networks import find_head
from adapters.backbones.sources import source_of
from adapters.errors import ModelError
from adapters.outputs import Outputs, ReadOut
from adapters.spec import BackboneSpec
from bench.cli.commands import main
from bench.errors import UserError
from tests.builders.plain import ATTACKS, batch, by_bench, by_hand, fit_head, pictures, save_pictures

SYNSETS = ["n01440764", "n02102040", "n02979186"]
NUMBERS = [0, 217, 482]
"""Three classes of Imagenette, in the order of their folders, and their numbers in ImageNet."""
OUTSIDE = 999
SUITE = """name: s
backbone: {{architecture: timm/test_resnet, weights: weights.safetensors, {norm}, {more}}}
data: {{source: imagefolder, path: photos}}
models: [{{name: own, adaptation: {{method: none}}}}]
"""
NORM = "mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]"
LABELS = [i % 3 for i in range(24)]
SAID = [OUTSIDE if i in (5, 6, 7) else NUMBERS[label] for i, label in enumerate(LABELS)]
"""What the network says of each image: of three that it is of a class that the data do not have."""


def network(outputs: int, said: list[int]) -> nn.Module:
    """A small ResNet that says ``said`` of the pictures."""
    spec = BackboneSpec(architecture="timm/test_resnet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = source_of(spec).make(spec, outputs).eval()
    fit_head(made, find_head(made)[1], normalised(batch(pictures(24, 32))), said)
    return made


def shown(result: bench.Result) -> str:
    """The leaderboard in one line."""
    return " ".join(str(result).split())


def normalised(x: Tensor) -> Tensor:
    return (x - 0.5) / 0.25


def asked(folder: Path, more: str, names: list[str], made: nn.Module, labels: list[int]) -> Path:
    """A suite beside its weights and photos."""
    save_pictures(folder / "photos", pictures(24, 32), [names[label] for label in labels])
    save_file(made.state_dict(), folder / "weights.safetensors")
    (folder / "suite.yaml").write_text(SUITE.format(norm=NORM, more=more) + ATTACKS)
    return folder / "suite.yaml"


@pytest.mark.parametrize("library", ["foolbox", "art"])
def test_of_a_thousand_outputs_the_data_s_classes_are_attacked(tmp_path: Path, library: str) -> None:
    made = network(1000, SAID)
    cut = asked(tmp_path, "classes: by-name", SYNSETS, made, LABELS)
    result = bench.run(cut, results=tmp_path / "results", only=f"*/{library}")
    plain = by_hand(lambda x: made(normalised(x))[:, NUMBERS], pictures(24, 32), LABELS)
    assert by_bench(result, "own", library) == plain
    assert plain["clean"] != plain["fgsm"] != plain["pgd"]
    assert (
        "3 of the network's 1000 outputs are the data's classes (0, 217, 482), as the suite says; the"
        " logits of" in shown(result)
    )

    kept = asked(
        tmp_path, "classes: [tench, 217, cassette player], other_classes: keep", SYNSETS, made, LABELS
    )
    result = bench.run(kept, results=tmp_path / "results", only=f"*/{library}")
    order = [*NUMBERS, *(i for i in range(1000) if i not in NUMBERS)]
    outside = by_hand(lambda x: made(normalised(x))[:, order], pictures(24, 32), LABELS)
    assert by_bench(result, "own", library) == outside
    assert [order[pred] for pred in outside["clean"]] == SAID
    assert result.leaderboard.accuracy[0] == pytest.approx(21 / 24)
    assert "are kept: an image that is taken for one of them counts as wrong" in shown(result)


def test_what_stands_for_a_class_is_in_the_key_and_in_what_is_stored(tmp_path: Path) -> None:
    made = network(1000, SAID)
    ways = [
        "classes: by-name",
        "classes: [0, 217, 482]",
        "classes: [217, 0, 482]",
        "classes: [0, 217, 482], other_classes: keep",
    ]
    found = {}
    for way in ways:
        result = bench.run(
            asked(tmp_path, way, SYNSETS, made, LABELS), results=tmp_path / "results", only="*/fgsm/foolbox"
        )
        found[way] = result.run.header.models[0].sha256, float(result.leaderboard.accuracy[0])
    assert len({sha256 for sha256, _ in found.values()}) == 3  # names and numbers are one model
    assert found[ways[0]] == found[ways[1]]
    assert found[ways[2]][1] < 0.5 < found[ways[0]][1]


@pytest.mark.parametrize("outputs", [1, 2])
def test_one_logit_is_two_classes(tmp_path: Path, outputs: int) -> None:
    """[0, z] and [-z/2, z/2] are one model: equal probabilities, and equal gradients."""
    labels = [int(i % 3 == 0) for i in range(24)]
    two = network(2, labels)
    head = find_head(two)[1]
    made = network(1, [0] * 24) if outputs == 1 else two
    if outputs == 1:
        with torch.no_grad():
            find_head(made)[1].weight.copy_(head.weight[1:] - head.weight[:1])
            find_head(made)[1].bias.copy_(head.bias[1:] - head.bias[:1])
    result = bench.run(
        asked(tmp_path, "", ["no", "yes"], made, labels), results=tmp_path / "results", only="*/foolbox"
    )

    def logits(x: Tensor) -> Tensor:
        z = made(normalised(x))
        return torch.cat([torch.zeros_like(z), z], dim=1) if outputs == 1 else z

    assert by_bench(result, "own", "foolbox") == by_hand(logits, pictures(24, 32), labels)
    assert ("one logit: its sigmoid is the probability of 'yes', the second class" in shown(result)) == (
        outputs == 1
    )
    sigmoid = torch.sigmoid(logits(batch(pictures(24, 32))) @ torch.tensor([-1.0, 1.0]))
    certainty = torch.maximum(sigmoid, 1 - sigmoid).mean()
    assert result.leaderboard.certainty[0] == pytest.approx(float(certainty.detach()), abs=1e-5)


def test_the_gradient_of_one_logit_is_that_of_the_logistic_loss() -> None:
    z = torch.tensor([[0.3], [-2.0], [40.0]], requires_grad=True)
    y = torch.tensor([1, 0, 0])
    loss = nn.functional.cross_entropy(ReadOut(Outputs((0, 0), 1))(z), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(gradient[:, 0], torch.sigmoid(z[:, 0].detach()) - y)


FOUND: list[tuple[Any, list[str], list[int]]] = [
    ("by-name", ["n01440764", "n02102040"], [0, 217]),
    ("by-name", ["tench", "English_springer"], [0, 217]),
    ("by-name", ["000 tench", "217 English springer"], [0, 217]),
    ("by-name", ["0", "217"], [0, 217]),
    ({"a": 5, "b": "crane bird"}, ["b", "a"], [134, 5]),
    (("tench", 3), ["x", "y"], [0, 3]),
]


@pytest.mark.parametrize(("classes", "data", "index"), FOUND)
def test_outputs_by_number_name_and_synset(classes: Any, data: list[str], index: list[int]) -> None:
    spec = BackboneSpec(classes=classes)
    assert chosen_outputs(spec, (), 1000, tuple(data)) == Outputs(tuple(index), 1000)


def test_the_weights_own_names_come_before_imagenet_s() -> None:
    own = tuple(f"thing {i}" for i in range(1000))
    spec = BackboneSpec(classes="by-name")
    assert chosen_outputs(spec, own, 1000, ("Thing_7", "thing 3")).index == (7, 3)
    with pytest.raises(ModelError, match="no output of this network is called 'n01440764'"):
        chosen_outputs(spec, own, 1000, ("n01440764", "thing 3"))
    described = imagenet_names()[2]
    assert chosen_outputs(spec, described, 1000, ("n01440764", "goldfish")).index == (0, 1)


REFUSED: list[tuple[Any, int, str]] = [
    ("by-name", 1000, "no output of this network is called 'cat'; ImageNet's names and synsets"),
    (
        "by-name",
        10,
        "no output of this network is called 'cat'; its 10 outputs have no names here: give numbers",
    ),
    (("crane", 5), 1000, r"2 outputs are called 'crane': give one of the numbers \[134, 517\]"),
    ((3, 3), 10, "output 3 would stand for both 'cat' and 'dog'"),
    ((3, 10), 10, "there is no output 10: the network has 10, from 0 to 9"),
    ((1, 2, 3), 10, "gives 3 outputs, but the data have 2 classes"),
    ({"cat": 1, "dgo": 2}, 10, "gives no output for 'dog', a class of the data; did you mean 'dgo'?"),
    ({"cat": 1, "dog": 2, "cow": 3}, 10, "'cow' is not a class of the data"),
]


@pytest.mark.parametrize(("classes", "has", "message"), REFUSED)
def test_a_choice_that_cannot_be_meant_is_refused(classes: Any, has: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        chosen_outputs(BackboneSpec(classes=classes), (), has, ("cat", "dog"))


WRITTEN = [
    ("other_classes: keep", "without classes there are no others to keep"),
    ("classes: [yes, no]", "classes: holds True (bool), neither an output's number nor a name; quote names"),
    ("classes: by-names", "backbone.classes"),
    ("classes: [0, -1, 2]", "backbone.classes"),
]


@pytest.mark.parametrize(("more", "message"), WRITTEN)
def test_a_choice_that_cannot_be_read_is_named_by_its_line(
    tmp_path: Path, more: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE.format(norm=NORM, more=more) + ATTACKS)
    assert main(["run", str(tmp_path / "suite.yaml")]) == 2
    said = capsys.readouterr().err
    assert "suite.yaml:2" in said
    assert message in said


def test_a_network_of_other_classes_is_refused_and_told_of_classes(tmp_path: Path) -> None:
    made = network(1000, SAID)
    suite = asked(tmp_path, "", SYNSETS, made, LABELS)
    with pytest.raises(
        UserError,
        match=r"has 1000 classes, the data have 3; .* say in backbone\.classes which of its outputs",
    ):
        bench.run(suite, results=tmp_path / "results")


def test_what_is_trained_here_has_a_head_of_its_own(tmp_path: Path) -> None:
    """The same model with and without a choice: a new head has no use for it, and no key for it."""
    keys = set()
    for more in ("classes: by-name", ""):
        suite = asked(tmp_path, more, SYNSETS, network(1000, SAID), LABELS)
        text = suite.read_text().replace(
            "adaptation: {method: none}", "adaptation: {method: head}, training: {epochs: 1}"
        )
        suite.write_text(text)
        result = bench.run(suite, results=tmp_path / "results", only="*/fgsm/foolbox")
        keys.add(result.run.header.models[0].sha256)
    assert len(keys) == 1
