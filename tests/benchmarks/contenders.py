"""The ways in which people carry out the same grid, each as its own documentation shows it, and the floors
under all of them.

A contender gives the numbers that are wanted, which samples it breaks at each eps, and pays for them: Foolbox
says so itself, the examples of ART and torchattacks end with a prediction of their images, the floors and
``bench`` predict them again.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from adapters.spec import Precision
from bench.attacks.registry import Library
from bench.attacks.spec import Fgsm, Pgd
from bench.engine.plan import Cell, Unit
from bench.engine.prepare import prepare
from bench.engine.runner import Target, run_unit
from bench.ids import ModelId

BATCH = 64
ART_ATTACKS, ART_PREDICTS = 32, 128
"""ART's own batches, where nobody sets them."""


@dataclass(frozen=True)
class Subject:
    """What is attacked: a classifier and ``samples`` that it predicts correctly, so that everybody attacks
    the same ones.

    ``batch``: images at once; None: as is usual.
    """

    classifier: Classifier
    samples: ImageSet
    batch: int | None = None

    @cached_property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Images and labels in batches, on the classifier's device."""
        whole = (
            torch.from_numpy(part).to(self.classifier.device)
            for part in (self.samples.x, self.samples.labels)
        )
        return list(zip(*(torch.split(part, self.batch or BATCH) for part in whole), strict=True))

    @cached_property
    def targets(self) -> dict[Precision, Target]:
        """The classifier made ready to be attacked: once per model, so no part of a grid's time."""
        names: tuple[Precision, ...] = ("fp32", "bf16")
        return {
            precision: prepare(self.classifier, self.samples, self.batch or BATCH, precision)
            for precision in names
        }

    @cached_property
    def frozen(self) -> Classifier:
        """The classifier itself, its parameters frozen."""
        return copy.deepcopy(self.classifier).requires_grad_(False)


@dataclass(frozen=True)
class Question:
    """One grid against one model.

    ``steps`` 0 means FGSM; a PGD step is a quarter of eps; nothing starts at random.
    """

    subject: Subject
    eps: tuple[Fraction, ...]
    steps: int


Outcomes = list[Tensor]
"""Per eps, which samples are broken (bool, N)."""
Contender = Callable[[Question], Outcomes]


@torch.inference_mode()
def broken(model: nn.Module, adversarials: Iterable[Tensor], question: Question) -> Tensor:
    """Which of the ``adversarials`` (in the batches of ``question``) are not taken for what they are."""
    return torch.cat(
        [model(x).argmax(1) != y for x, (_, y) in zip(adversarials, question.subject.batches, strict=True)]
    )


def plain_foolbox(question: Question) -> Outcomes:
    """Foolbox as in its README: wrap, call the attack with all epsilons."""
    import foolbox

    model = foolbox.PyTorchModel(question.subject.classifier.eval(), bounds=(0, 1))
    if question.steps:
        attack = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=question.steps, random_start=False)
    else:
        attack = foolbox.attacks.LinfFastGradientAttack()
    parts = []
    for x, y in question.subject.batches:
        _, _, success = attack(model, x, y, epsilons=[float(e) for e in question.eps])
        parts.append(success)
    return list(torch.cat(parts, dim=1))


def plain_art(question: Question) -> Outcomes:
    """ART as in its examples: classifier, loss, optimiser; ``generate`` per eps, no labels; ``predict``."""
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    subject = question.subject
    model, size = subject.classifier.eval(), subject.batch or ART_ATTACKS
    estimator = PyTorchClassifier(
        model=model,
        clip_values=(0.0, 1.0),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        input_shape=subject.samples.input_shape,
        nb_classes=model.num_classes,
        device_type="gpu" if subject.classifier.device.type == "cuda" else "cpu",
    )
    found = []
    for eps in map(float, question.eps):
        attack = FastGradientMethod(estimator, eps=eps, batch_size=size)
        if question.steps:
            attack = ProjectedGradientDescent(
                estimator, eps=eps, eps_step=eps / 4, max_iter=question.steps, batch_size=size, verbose=False
            )
        predictions = estimator.predict(
            attack.generate(x=subject.samples.x), batch_size=subject.batch or ART_PREDICTS
        )
        found.append(torch.from_numpy(predictions.argmax(axis=1) != subject.samples.labels))
    return found


def torchattacks(question: Question) -> Outcomes:
    """torchattacks as in its README: one attack object per eps, then the model's predictions."""
    import torchattacks

    model = question.subject.classifier.eval()
    found = []
    for eps in map(float, question.eps):
        if question.steps:
            attack = torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=question.steps, random_start=False)
        else:
            attack = torchattacks.FGSM(model, eps=eps)
        found.append(broken(model, [attack(x, y) for x, y in question.subject.batches], question))
    return found


def floor_under(form: Callable[[Subject], nn.Module]) -> Contender:
    """The bare loop: forward, backward to the input, step, and one forward pass to judge.

    What no library can undercut.
    """

    def contender(question: Question) -> Outcomes:
        model = form(question.subject)
        parts = [_bare(model, x, y, question) for x, y in question.subject.batches]
        return [broken(model, batches, question) for batches in zip(*parts, strict=True)]

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
        attack = (
            Pgd(attack="pgd", steps=question.steps, rel_step_size=0.25)
            if question.steps
            else Fgsm(attack="fgsm")
        )
        unit = Unit(ModelId("model", 0), attack, library, tuple(Cell(eps, str(eps)) for eps in question.eps))
        records = run_unit(unit, question.subject.targets[precision]).records
        return [torch.from_numpy(r.success) for r in records]

    return contender


FLOOR = "floor: bare loop, lossless form"
CONTENDERS: dict[str, Contender] = {
    "plain Foolbox": plain_foolbox,
    "plain ART": plain_art,
    "torchattacks": torchattacks,
    "floor: bare loop, frozen": floor_under(lambda subject: subject.frozen),
    FLOOR: floor_under(lambda subject: subject.targets["fp32"].classifier),
    "bench, Foolbox": bench_through("foolbox"),
    "bench, ART": bench_through("art"),
    "bench, Foolbox, bf16": bench_through("foolbox", "bf16"),
    "bench, ART, bf16": bench_through("art", "bf16"),
}
