"""Samples are attacked side by side, and each as if it were alone: bit for bit, whatever its company."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.defences.defended import Defended
from adapters.defences.gaussian_noise import GaussianNoise
from adapters.defences.stack import Stack
from adapters.images import ImageSet
from bench.attacks.art.estimators import DirectClassifier
from bench.attacks.attack_session import Stage
from bench.attacks.lockstep import BatchingClassifier, Task, side_by_side
from bench.attacks.registry import Carrier
from bench.engine.runner import UnitResult, make_target, run_unit
from tests.builders.attacking import INSTALLED, make_unit, spec
from tests.builders.single import Single

SIZE, CLASSES = 12, 4


class Convolutional(nn.Module):
    """Three layers, which keep how many images they have been asked about at once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.head = nn.Linear(32 * (SIZE // 2) ** 2, CLASSES)
        self.asked: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(len(x))
        logits: Tensor = self.head(self.second(self.first(x).relu()).relu().flatten(1))
        return logits


@pytest.fixture(scope="module")
def convolutional() -> Classifier:
    torch.manual_seed(0)
    network = Convolutional().eval().requires_grad_(False)
    network.head.weight.mul_(20)
    return Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=CLASSES).eval()


def known(classifier: Classifier, count: int) -> ImageSet:
    """Images of noise, labelled as ``classifier`` takes them."""
    images = np.random.default_rng(1).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)
    labels = classifier(torch.from_numpy(images / np.float32(255))).argmax(1).numpy()
    assert len(set(labels.tolist())) > 1
    return ImageSet(images, labels, tuple(f"s/{i}" for i in range(count)), tuple("abcd"))


ATTACKS: list[tuple[Carrier, dict[str, Any]]] = [
    ("foolbox", {"attack": "boundary", "steps": 25}),
    ("foolbox", {"attack": "hopskipjump", "steps": 2, "initial_evaluations": 10, "max_evaluations": 20}),
    (
        "foolbox",
        {
            "attack": "hopskipjump",
            "norm": "linf",
            "steps": 1,
            "initial_evaluations": 10,
            "max_evaluations": 20,
        },
    ),
    ("foolbox", {"attack": "salt-and-pepper", "steps": 20}),
    ("foolbox", {"attack": "noise", "norm": "l2", "distribution": "gaussian", "repeats": 3}),
    ("foolbox", {"attack": "spatial", "shifts": 2, "rotations": 2}),
    ("art", {"attack": "boundary", "steps": 20}),
    ("art", {"attack": "hopskipjump", "steps": 2, "initial_evaluations": 10, "max_evaluations": 20}),
    ("art", {"attack": "geoda", "queries": 250}),
    ("art", {"attack": "zoo", "steps": 1, "binary_search_steps": 1, "initial_const": 100}),
    ("art", {"attack": "square", "norm": "l2", "steps": 15}),
    ("art", {"attack": "square", "steps": 15}),
    ("art", {"attack": "simba", "steps": 15}),
    ("art", {"attack": "spatial", "shifts": 2, "rotations": 2}),
    ("torchattacks", {"attack": "square", "steps": 15}),
    ("both", {"attack": "strong", "steps": 2, "targets": 1, "queries": 10}),
]


def attacked(
    carrier: Carrier,
    declared: dict[str, Any],
    classifier: Classifier,
    samples: ImageSet,
    chosen: slice,
    batch: int,
) -> UnitResult:
    """The samples ``chosen``, which start where all samples let them start, as the parts of a unit do."""
    whole = make_target(classifier, samples, batch)
    index = np.arange(len(samples))[chosen]
    part = make_target(classifier, samples.take(index), batch)
    return run_unit(
        make_unit(spec(**declared), carrier, [0.02, 0.1]), replace(part, whole=whole), keep_images=True
    )


@pytest.mark.parametrize(
    ("carrier", "declared"),
    ATTACKS,
    ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values())),
)
def test_a_sample_meets_the_same_whatever_its_company(
    carrier: Carrier, declared: dict[str, Any], convolutional: Classifier
) -> None:
    if carrier not in (*INSTALLED, "both"):
        pytest.skip(f"{carrier} is not installed")
    samples = known(convolutional, 5)
    together = attacked(carrier, declared, convolutional, samples, slice(None), 5)
    for batch, chosen in ((2, slice(None)), (5, slice(3, 4))):
        again = attacked(carrier, declared, convolutional, samples, chosen, batch)
        assert together.images is not None
        assert again.images is not None
        for one, other, x, y in zip(
            together.records, again.records, together.images, again.images, strict=True
        ):
            np.testing.assert_array_equal(x[chosen], y)
            for column in ("adv_pred", "success", "queries", "l2", "linf"):
                if (wanted := getattr(one, column)) is not None:
                    np.testing.assert_array_equal(wanted[chosen], getattr(other, column))


def test_a_random_model_draws_for_each_sample_by_itself(convolutional: Classifier) -> None:
    defended = Defended(Stack((GaussianNoise(sigma=0.05),), ("m",)), [convolutional]).eval()
    declared = {"attack": "square", "norm": "l2", "steps": 10}
    samples = known(convolutional, 4)
    together, alone = (
        attacked("art", declared, defended, samples, chosen, 4) for chosen in (slice(None), slice(2, 3))
    )
    assert together.images is not None
    assert alone.images is not None
    np.testing.assert_array_equal(together.images[1][2:3], alone.images[1])
    assert together.records[1].queries is not None
    assert alone.records[1].queries is not None
    assert together.records[1].queries[2] == alone.records[1].queries[0]
    assert defended.passes.forwards == together.forwards + alone.forwards


def test_what_samples_ask_is_answered_in_one_batch(convolutional: Classifier) -> None:
    samples, network = known(convolutional, 16), convolutional.network
    assert isinstance(network, Convolutional)
    stage = Stage(spec(attack="noise", repeats=9), "foolbox", convolutional, (3, SIZE, SIZE), "fp32")
    target = make_target(convolutional, samples, 16)
    result = run_unit(make_unit(spec(attack="noise", repeats=9), "foolbox", [0.001]), target)
    assert stage.counts_queries
    assert result.forwards == 16 * 9
    form = BatchingClassifier(convolutional, "fp32")._rows._for(torch.zeros(1, 3, SIZE, SIZE)).form
    asked = network if form is None else form.network
    assert isinstance(asked, Convolutional)
    assert asked.asked[-9:] == [16] * 9


def drawing(draws: int, ask: Callable[[Tensor], Tensor], found: list[list[float]]) -> list[float]:
    """Numbers from all global generators, with a question between each two."""
    numbers = []
    for _ in range(draws):
        numbers += [np.random.standard_normal(), random.random(), float(torch.rand(()))]  # noqa: NPY002
        ask(torch.zeros(1, 3, SIZE, SIZE))
    found.append(numbers)
    return numbers


def test_each_task_draws_from_streams_of_its_own(convolutional: Classifier) -> None:
    ask, ended = BatchingClassifier(convolutional, "fp32"), list[list[float]]()
    together = side_by_side([Task(partial(drawing, 5 - i, ask, ended), seed=i) for i in range(3)])
    assert ended == together[::-1], "they took turns"
    for i in range(3):
        assert side_by_side([Task(partial(drawing, 5 - i, ask, ended), seed=i)]) == [together[i]]
        np.random.seed(i)  # noqa: NPY002
        random.seed(i)
        torch.manual_seed(i)
        assert together[i][:3] == [np.random.standard_normal(), random.random(), float(torch.rand(()))]  # noqa: NPY002


def test_global_generators_and_modes_are_afterwards_as_before(convolutional: Classifier) -> None:
    ask = BatchingClassifier(convolutional, "fp32")
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    torch.manual_seed(5)
    wanted = np.random.standard_normal(), random.random(), float(torch.rand(()))  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    torch.manual_seed(5)
    side_by_side([Task(partial(drawing, 3, ask, []), seed=i) for i in range(3)])
    assert (np.random.standard_normal(), random.random(), float(torch.rand(()))) == wanted  # noqa: NPY002
    assert torch.is_grad_enabled()


def test_no_mode_of_torch_leaks_from_one_task_into_another(convolutional: Classifier) -> None:
    ask, x = BatchingClassifier(convolutional, "fp32"), torch.zeros(1, 3, SIZE, SIZE)

    def without() -> bool:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            ask(x)
            return torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu")

    def with_gradients() -> bool:
        ask(x)
        return not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")

    assert side_by_side([Task(without, 0), Task(with_gradients, 1), Task(without, 2)]) == [False] * 3


class Stop(BaseException):
    """As a time limit, or an interrupt."""


@pytest.mark.parametrize("error", [ValueError("this sample"), Stop("all")], ids=["error", "stop"])
def test_a_failing_task_is_heard_of_and_the_others_are_left_in_order(
    error: BaseException, convolutional: Classifier
) -> None:
    ask, left = BatchingClassifier(convolutional, "fp32"), []

    def other() -> Iterator[None]:
        try:
            with torch.no_grad():
                drawing(50, ask, [])
        finally:
            left.append(torch.is_grad_enabled())
        raise AssertionError

    def failing() -> None:
        drawing(2, ask, [])
        raise error

    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    with pytest.raises(type(error), match=str(error)):
        side_by_side([Task(other, 0), Task(failing, 1), Task(other, 2)])
    assert left == [True, True]
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert len(side_by_side([Task(partial(drawing, 1, ask, []), 0)])[0]) == 3


def test_art_is_told_what_it_would_find_out_itself(convolutional: Classifier) -> None:
    x = known(convolutional, 5).x.astype(np.float64)
    own, direct = (
        kind(
            Single(convolutional), loss=nn.CrossEntropyLoss(), input_shape=(3, SIZE, SIZE),
            nb_classes=CLASSES, clip_values=(0.0, 1.0), preprocessing=None, device_type="cpu",
        ).predict(x, batch_size=2)
        for kind in (PyTorchClassifier, DirectClassifier)
    )  # fmt: skip
    np.testing.assert_array_equal(direct, own)
    assert direct.dtype == own.dtype == np.float32


def test_questions_about_several_images_fill_batches_too(convolutional: Classifier) -> None:
    """16 tasks ask about 5 images each: they wait until all do, rather than that 7 of them fill a batch."""
    model = BatchingClassifier(convolutional, "fp32")
    form = model._rows._for(torch.zeros(1, 3, SIZE, SIZE)).form
    asked = convolutional.network if form is None else form.network
    assert isinstance(asked, Convolutional)
    images = torch.rand(16, 5, 3, SIZE, SIZE)
    before = len(asked.asked)
    found = side_by_side([Task(partial(model, images[i]), i) for i in range(16)])
    assert asked.asked[before:] == [32, 32, 16]
    assert torch.equal(torch.stack(found), torch.stack([model(x) for x in images]))
