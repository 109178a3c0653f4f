"""The ways in which people carry out the same grid, each as its own documentation shows it, and the floors under all of them.

A contender gives the numbers that are wanted, which samples it breaks at each eps, and pays for them: Foolbox says so itself,
the examples of ART and torchattacks end with a prediction of their images, the floors and ``bench`` predict them again.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from adapters.spec import Precision
from bench.attacks.contract import Library
from bench.attacks.spec import Fgsm, Pgd
from bench.plan import Cell, Unit
from bench.prepare import prepare
from bench.runner import Target, run_unit

BATCH = 64


@dataclass(frozen=True)
class Question:
    """One grid against one model. ``steps`` 0 means FGSM; a PGD step is a quarter of eps; nothing starts at random.

    All ``samples`` are predicted correctly, so that everybody attacks the same ones.
    """

    classifier: Classifier
    samples: ImageSet
    eps: tuple[Fraction, ...]
    steps: int

    @property
    def x(self) -> Tensor:
        """The images on the classifier's device."""
        return torch.from_numpy(self.samples.x).to(self.classifier.device)

    @property
    def y(self) -> Tensor:
        """The labels on the classifier's device."""
        return torch.from_numpy(self.samples.labels).to(self.classifier.device)

    @property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Images and labels in batches."""
        return list(zip(torch.split(self.x, BATCH), torch.split(self.y, BATCH), strict=True))

    @cached_property
    def targets(self) -> dict[Precision, Target]:
        """The classifier made ready to be attacked: once per model, so no part of a grid's time."""
        names: tuple[Precision, ...] = ("fp32", "bf16")
        return {precision: prepare(self.classifier, self.samples, BATCH, precision) for precision in names}

    @cached_property
    def frozen(self) -> Classifier:
        """The classifier itself, its parameters frozen."""
        return copy.deepcopy(self.classifier).requires_grad_(False)


Outcomes = list[Tensor]
"""Per eps, which samples are broken (bool, N)."""
Contender = Callable[[Question], Outcomes]


@torch.inference_mode()
def broken(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Which of the images ``x`` are not taken for ``y``."""
    return torch.cat([model(a).argmax(1) != b for a, b in zip(torch.split(x, BATCH), torch.split(y, BATCH), strict=True)])


def plain_foolbox(question: Question) -> Outcomes:
    """Foolbox as in its README: wrap, call the attack with all epsilons."""
    import foolbox

    model = foolbox.PyTorchModel(question.classifier.eval(), bounds=(0, 1))
    if question.steps:
        attack = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=question.steps, random_start=False)
    else:
        attack = foolbox.attacks.LinfFastGradientAttack()
    parts = []
    for x, y in question.batches:
        _, _, success = attack(model, x, y, epsilons=[float(e) for e in question.eps])
        parts.append(success)
    return list(torch.cat(parts, dim=1))


def plain_art(question: Question) -> Outcomes:
    """ART as in its examples: a classifier with loss and optimiser, ``generate`` for each eps, no labels, then ``predict``."""
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    model = question.classifier.eval()
    estimator = PyTorchClassifier(
        model=model,
        clip_values=(0.0, 1.0),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        input_shape=question.samples.input_shape,
        nb_classes=model.num_classes,
        device_type="gpu" if question.classifier.device.type == "cuda" else "cpu",
    )
    found = []
    for eps in map(float, question.eps):
        if question.steps:
            attack = ProjectedGradientDescent(
                estimator, eps=eps, eps_step=eps / 4, max_iter=question.steps, batch_size=32, verbose=False
            )
        else:
            attack = FastGradientMethod(estimator, eps=eps)
        predictions = estimator.predict(attack.generate(x=question.samples.x))
        found.append(torch.from_numpy(predictions.argmax(axis=1) != question.samples.labels))
    return found


def torchattacks(question: Question) -> Outcomes:
    """torchattacks as in its README: one attack object for each eps, then the model's prediction of its images."""
    import torchattacks

    model = question.classifier.eval()
    found = []
    for eps in map(float, question.eps):
        if question.steps:
            attack = torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=question.steps, random_start=False)
        else:
            attack = torchattacks.FGSM(model, eps=eps)
        found.append(broken(model, torch.cat([attack(x, y) for x, y in question.batches]), question.y))
    return found


def floor_under(form: Callable[[Question], nn.Module]) -> Contender:
    """The bare loop: forward, backward to the input, step, and one forward pass to judge. What no library can undercut."""

    def contender(question: Question) -> Outcomes:
        model = form(question)
        parts = [_bare(model, x, y, question) for x, y in question.batches]
        return [broken(model, torch.cat(list(batches)), question.y) for batches in zip(*parts, strict=True)]

    return contender


def _bare(model: nn.Module, x: Tensor, y: Tensor, question: Question) -> list[Tensor]:
    if not question.steps:
        direction = _gradient(model, x, y).sign()
        return [(x + float(eps) * direction).clamp(0, 1) for eps in question.eps]
    return [_descend(model, x, y, float(eps), question.steps) for eps in question.eps]


def _descend(model: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
    adversarial = x
    for _ in range(steps):
        moved = adversarial + eps / 4 * _gradient(model, adversarial, y).sign()
        adversarial = (x + (moved - x).clamp(-eps, eps)).clamp(0, 1)
    return adversarial


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_(True)
    return torch.autograd.grad(F.cross_entropy(model(leaf), y, reduction="sum"), leaf)[0]


def bench_through(library: Library, precision: Precision = "fp32") -> Contender:
    """``bench`` itself: attack, checks and re-prediction in float32; its records are its answer."""

    def contender(question: Question) -> Outcomes:
        attack = Pgd(attack="pgd", steps=question.steps, rel_step_size=0.25) if question.steps else Fgsm(attack="fgsm")
        unit = Unit("model", 0, attack, library, tuple(Cell(eps, str(eps)) for eps in question.eps))
        records = run_unit(unit, question.targets[precision]).records
        return [torch.from_numpy(r.success) for r in records]

    return contender


FLOOR = "floor: bare loop, lossless form"
CONTENDERS: dict[str, Contender] = {
    "plain Foolbox": plain_foolbox,
    "plain ART": plain_art,
    "torchattacks": torchattacks,
    "floor: bare loop, frozen": floor_under(lambda question: question.frozen),
    FLOOR: floor_under(lambda question: question.targets["fp32"].classifier),
    "bench, Foolbox": bench_through("foolbox"),
    "bench, ART": bench_through("art"),
    "bench, Foolbox, bf16": bench_through("foolbox", "bf16"),
    "bench, ART, bf16": bench_through("art", "bf16"),
}
