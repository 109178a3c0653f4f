"""The Python API as a script calls it."""

import doctest
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bench
from adapters.classifier import Classifier
from adapters.defences.bit_depth import BitDepth
from adapters.defences.defended import Defended
from adapters.defences.stack import Stack
from adapters.images import ImageSet
from bench.cli.commands import main
from tests.builders.linear import Linear, linear_classifier, linear_samples, margins
from tests.builders.tiny import TINY
from tests.engine.test_runner import box_margin

EPS = ["4/255", "16/255", "32/255"]
BITS = [{"defence": "bit-depth", "bits": 4}]


def network() -> nn.Module:
    """The closed-form network without a Classifier around it."""
    inner = linear_classifier().network
    assert isinstance(inner, nn.Module)
    return inner


def evaluated(model: Any = None, samples: ImageSet | None = None, **options: Any) -> bench.Result:
    found = samples or linear_samples()
    settings = {"attacks": ["fgsm"], "eps": EPS, "trust": "off", **options}
    return bench.evaluate(model or network(), found.x, found.labels, **settings)


class OneLogit(nn.Module):
    """The logit of the second class of the closed-form network, N x 1 or N."""

    def __init__(self, inner: nn.Module, *, flat: bool) -> None:
        super().__init__()
        self.inner, self.flat = inner, flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(x)
        second = logits[:, 1] - logits[:, 0]
        return second if self.flat else second[:, None]


def broken_in_theory(samples: ImageSet, eps: float) -> np.ndarray:
    correct = (margins(samples.images) > 0) == samples.labels
    return np.asarray(correct & (box_margin(samples.images, eps) < 0))


def test_evaluate_gives_the_closed_form_sample_by_sample() -> None:
    samples = linear_samples()
    result = evaluated()
    assert result.is_complete
    for library, eps in itertools.product(("foolbox", "art"), EPS):
        own = result.samples.query(f"library == {library!r} and eps == {eps!r}")
        expected = broken_in_theory(samples, int(eps.partition("/")[0]) / 255)
        np.testing.assert_array_equal(own["success"].to_numpy(), expected)
    assert list(result.cells["n"]) == [64] * 6
    assert list(result.cells["n_correct"]) == [48] * 6


@pytest.mark.parametrize("flat", [True, False])
def test_one_logit_is_that_of_the_second_of_two_classes(flat: bool) -> None:
    result = evaluated(OneLogit(network(), flat=flat), attacks=["fgsm", {"attack": "pgd", "steps": 3}])
    two = evaluated(attacks=["fgsm", {"attack": "pgd", "steps": 3}])
    assert result.is_complete
    for column in ("clean_pred", "adv_pred", "success"):
        np.testing.assert_array_equal(result.samples[column], two.samples[column])
    np.testing.assert_allclose(result.samples["clean_prob"], two.samples["clean_prob"], atol=1e-6)
    assert "one logit: its sigmoid is the probability of '1', the second class" in " ".join(
        str(result).split()
    )
    assert "one logit" not in str(two)


def test_one_logit_is_not_enough_for_three_classes() -> None:
    with pytest.raises(
        bench.UserError, match=r"gives \(1, 1\) logits for one image, but the data have 3 classes"
    ):
        evaluated(OneLogit(network(), flat=False), classes=["a", "b", "c"])


def test_a_classifier_and_normalised_images_give_the_same_as_the_network() -> None:
    shifted = Linear(bias=float(linear_classifier().network.bias))  # type: ignore[arg-type]
    whole = evaluated(linear_classifier()).cells["asr"]
    same = evaluated(shifted, mean=(0.0,) * 3, std=(1.0,) * 3).cells["asr"]
    np.testing.assert_array_equal(whole, same)
    np.testing.assert_array_equal(whole, evaluated().cells["asr"])


def test_bytes_floats_tensors_and_loaders_are_one_question() -> None:
    samples = linear_samples()
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=10)
    ways = [(samples.images, samples.labels), (x, y), (x.double().requires_grad_(), y.int()), (loader, None)]
    results = [bench.evaluate(network(), *way, attacks=["fgsm"], eps=EPS, trust="off") for way in ways]
    first = results[0].samples
    for other in results[1:]:
        assert first.equals(other.samples)


def test_several_models_are_compared_pair_by_pair() -> None:
    samples, bias = linear_samples(), float(network().bias)  # type: ignore[arg-type]
    result = evaluated({"base": network(), "shifted": Linear(bias=bias + 0.25)})
    shifted = float((((margins(samples.images) + 0.25) > 0) == samples.labels).mean())
    assert shifted not in (0.75, 0.5)
    assert dict(zip(result.leaderboard["model"], result.leaderboard["accuracy"], strict=True)) == {
        "base": 0.75,
        "shifted": shifted,
    }
    pair = result.comparisons.query("attack == 'fgsm' and eps == '4/255'").iloc[0]
    assert (pair["model"], pair["baseline"], pair["robust_n"]) == ("shifted", "base", 64)


def test_defences_around_given_models_meet_attacks_that_know_them() -> None:
    """The quantised linear model's own gradient is zero: nothing breaks it that does not know how to pass
    back through it."""
    around = {"squeezed": {"of": "model", "defences": BITS}}
    result = evaluated(defended=around, libraries=["foolbox"], eps=["16/255"], attacks=["fgsm"])
    assert result.is_complete
    own = [cell.entry for cell in result.card.cells if cell.entry.model == "squeezed"]
    assert {e.attack: e.role for e in own} == {
        "fgsm": "naive",
        "fgsm bpda": "adaptive",
        "fgsm on model": "adaptive",
    }
    asr = result.cells.query("model == 'squeezed'").set_index("attack")["asr"]
    assert asr["fgsm"] == 0
    assert asr["fgsm bpda"] > 0.3
    (score,) = result.card.defences
    assert (score.undefended.name, score.defences) == ("model", "bit-depth")


def test_given_models_are_switched_between() -> None:
    bias = float(network().bias)  # type: ignore[arg-type]
    models = {"a": network(), "b": Linear(bias=bias + 0.25)}
    around = {"switch": {"of": ["a", "b"], "defences": [{"defence": "random-switch"}]}}
    result = evaluated(models, defended=around, libraries=["foolbox"], eps=["4/255"])
    accuracy = result.leaderboard.set_index("model")["accuracy"]
    assert accuracy["switch"] == pytest.approx((accuracy["a"] + accuracy["b"]) / 2)


def test_models_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 2)).train()
    evaluated(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": lambda x: x * 255}, r"values up to 1\d\d(\.\d+)? are outside \[0, 1\]; divide by 255"),
        (
            {"images": lambda x: (x - 0.5) / 0.25},
            r"values from -.* are normalised already; give images in \[0, 1\].*mean",
        ),
        ({"images": lambda x: x.transpose(0, 2, 3, 1)}, r"64 x 2 x 2 x 3 has the channels last"),
        ({"images": lambda x: x[0]}, r"their shape is 3 x 2 x 2; images are N x C x H x W"),
        ({"images": lambda x: x.astype(np.int32)}, r"int32 values; images are"),
        ({"images": lambda x: np.full_like(x, np.nan)}, r"not finite"),
        ({"images": lambda x: x[:0]}, r"their shape is 0 x 3 x 2 x 2"),
        ({"images": lambda x: ["a"] * len(x)}, r"images: .* values; give an array or tensor of numbers"),
        ({"labels": lambda y: y[:-1]}, r"64 images, but 63 labels"),
        ({"labels": lambda y: y.astype(float)}, r"float64 values; give class numbers as integers"),
        (
            {"labels": lambda y: np.eye(2)[y]},
            r"shape is 64 x 2, not N; for one-hot rows give labels.argmax\(1\)",
        ),
        ({"labels": lambda y: y - 1}, r"-1 is negative"),
        ({"labels": lambda y: y + 5}, r"gives \(1, 2\) logits for one image, but the data have 7 classes"),
        ({"labels": lambda _: None}, r"labels are missing; give them beside the images, or a DataLoader"),
        ({"classes": ["one", "one"]}, r"at least two, each once"),
        ({"classes": ["one"]}, r"the largest is 1, but there are 1 classes"),
        ({"attacks": ["fgsn"]}, r"attacks\[0\].*unknown value 'fgsn'; did you mean 'fgsm'"),
        ({"attacks": []}, r"attacks.*is empty"),
        ({"eps": ["8"]}, r"larger than the whole pixel range \[0, 1\]; did you mean 8/255"),
        ({"libraries": ["foolbx"]}, r"libraries\[0\].*unknown value 'foolbx'"),
        ({"model": {}}, r"none given; give a torch.nn.Module"),
        ({"model": "resnet18"}, r"str is not a torch.nn.Module"),
        ({"model": linear_classifier(), "mean": (0.5,) * 3}, r"this Classifier has its own normalisation"),
        (
            {"defended": {"d": {"of": "mdel", "defences": BITS}}},
            r"'mdel' is not a model of this suite; did you mean 'model'",
        ),
        ({"defended": {"d": {"of": "model"}}}, r"has the weights of model and no defences: give some"),
        (
            {"defended": {"d": {"of": "model", "defences": [{"defence": "bits"}]}}},
            r"unknown value 'bits'; known: average, bit-depth",
        ),
        ({"defended": {"model": {"of": "model", "defences": BITS}}}, r"model name.*'model'"),
        (
            {"model": Defended(Stack((BitDepth(),), ("a",)), [linear_classifier()])},
            r"model: has defences around it; give",
        ),
        ({"device": "cuda:77"}, r"cuda:77: this machine has no such device"),
    ],
)
def test_what_cannot_be_evaluated_is_said(change: dict[str, Any], said: str) -> None:
    samples = linear_samples()
    asked: dict[str, Any] = {
        "model": network(),
        "images": samples.x,
        "labels": samples.labels,
        "eps": EPS,
        "trust": "off",
    }
    for name, value in change.items():
        asked[name] = value(asked[name]) if callable(value) and name in {"images", "labels"} else value
    with pytest.raises(bench.UserError, match=said):
        bench.evaluate(**asked)


def test_a_run_is_that_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY)
    result = bench.run(suite, results=tmp_path / "results")
    assert result.is_complete
    assert main(["run", str(suite), "--results", str(tmp_path / "results"), "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert result.leaderboard["worst_case"].tolist() == [model["worst_case"] for model in printed["models"]]
    assert result.cells["asr"].tolist() == [cell["asr"] for cell in printed["cells"]]
    assert [f"{eps * 255:.0f}/255" for eps in result.cells["eps_value"]] == result.cells["eps"].tolist()

    again = bench.load(tmp_path / "results")
    assert again.path == result.path
    assert again.samples.equals(result.samples)
    assert len(again.samples) == len(result.cells) * 12
    assert {"model", "seed", "attack", "library", "eps", "eps_value", "label", "adv_pred"} < set(
        again.samples
    )

    assert result.report(tmp_path / "r.html").read_text().startswith("<!")
    assert {path.suffix for path in result.figures(tmp_path / "figures")} == {".pdf", ".png", ".svg"}
    assert "baseline" in str(result)
    assert "baseline" in result._repr_html_()
    verdict = bench.compare(result, again, gate=True, results=tmp_path / "results")
    assert verdict.exit_code == 0


def test_a_suite_may_be_a_mapping_and_is_named_by_its_line_where_it_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(bench.UserError, match=r"the key 'attacks' is missing"):
        bench.run({"name": "x"}, results=tmp_path)
    broken = tmp_path / "broken.yaml"
    broken.write_text(TINY.replace("fgsm", "fgsn"))
    with pytest.raises(bench.UserError, match=r"broken\.yaml:18: .*did you mean 'fgsm'"):
        bench.run(broken, results=tmp_path)
    with pytest.raises(bench.UserError, match=r"nowhere"):
        bench.load(tmp_path / "nowhere")


def test_what_was_given_cannot_be_made_again_without_its_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluated(results=tmp_path)
    assert main(["reproduce", str(result.path)]) == 2
    assert "these images were given in Python" in capsys.readouterr().err


def test_a_model_that_changes_while_it_is_evaluated_gives_no_number() -> None:
    class Changing(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.weight.data += 1
            return super().forward(x)

    result = evaluated(Changing())
    assert not result.is_complete
    assert set(result.cells["status"]) == {"error"}


def test_importing_loads_no_library() -> None:
    said = "import sys, bench; print({'torch', 'numpy', 'pandas', 'foolbox', 'art'} & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", said], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )


def test_the_examples_in_the_docstrings_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes on from where that of ``run`` ends."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"bench": bench}
    for told in (bench.run, bench.load, bench.compare, bench.Result, bench.evaluate):
        (example,) = doctest.DocTestFinder(recurse=False).find(told, told.__name__, globs=names)
        found = doctest.DocTestRunner().run(example, clear_globs=False)
        assert found.attempted >= 2
        assert not found.failed, told
        assert "SKIP" not in (told.__doc__ or "")
        names = {**example.globs, "bench": bench}


def test_a_given_classifier_is_not_normalised_twice() -> None:
    half = Classifier(Linear(), mean=(0.5,) * 3, std=(1.0,) * 3, num_classes=2)
    assert evaluated(half).cells["accuracy"].iloc[0] == 0.75
