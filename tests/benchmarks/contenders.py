"""The ways in which people carry out the same grid, each as its own documentation shows it, and the floor under all of them.

A contender does the work that is timed and returns how to judge it, which is not: the attack success rates in percent, by eps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from adapters.lossless import lossless
from bench.attacks.spec import Fgsm, Pgd
from bench.plan import Cell, Unit
from bench.runner import Target, make_target, run_unit

BATCH = 64


@dataclass(frozen=True)
class Question:
    """One grid against one model. ``steps`` 0 means FGSM; a PGD step is a quarter of eps; nothing starts at random."""

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
    def target(self) -> Target:
        """The classifier in lossless form with its clean predictions: made once per model, so no part of a grid's time."""
        return make_target(lossless(self.classifier, self.x[:BATCH]), self.samples, BATCH)

    def judged(self, adversarial: list[Tensor]) -> "Rates":
        """The success rates of one adversarial batch per eps, judged in float32 by the plain classifier."""
        return lambda: [self._success(batch.to(self.x)) for batch in adversarial]

    @torch.inference_mode()
    def _success(self, adversarial: Tensor) -> float:
        correct = self.classifier(self.x).argmax(1) == self.y
        broken = self.classifier(adversarial).argmax(1) != self.y
        return 100 * float((broken & correct).sum()) / float(correct.sum())


Rates = Callable[[], list[float]]
Contender = Callable[[Question], Rates]


def plain_foolbox(question: Question) -> Rates:
    """Foolbox as in its README: wrap, call the attack with all epsilons."""
    import foolbox

    model = foolbox.PyTorchModel(question.classifier.eval(), bounds=(0, 1))
    if question.steps:
        attack = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=question.steps, random_start=False)
    else:
        attack = foolbox.attacks.LinfFastGradientAttack()
    parts = []
    for x, y in question.batches:
        _, clipped, _ = attack(model, x, y, epsilons=[float(e) for e in question.eps])
        parts.append(clipped)
    return question.judged([torch.cat(list(batches)) for batches in zip(*parts, strict=True)])


def plain_art(question: Question) -> Rates:
    """ART as in its examples: a classifier with loss and optimiser, ``generate`` for each eps, no labels, batches of 32."""
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
    adversarial = []
    for eps in map(float, question.eps):
        if question.steps:
            attack = ProjectedGradientDescent(
                estimator, eps=eps, eps_step=eps / 4, max_iter=question.steps, batch_size=32, verbose=False
            )
        else:
            attack = FastGradientMethod(estimator, eps=eps)
        adversarial.append(torch.from_numpy(attack.generate(x=question.samples.x)))
    return question.judged(adversarial)


def torchattacks(question: Question) -> Rates:
    """torchattacks as in its README: one attack object for each eps."""
    import torchattacks

    model = question.classifier.eval()
    adversarial = []
    for eps in map(float, question.eps):
        if question.steps:
            attack = torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=question.steps, random_start=False)
        else:
            attack = torchattacks.FGSM(model, eps=eps)
        adversarial.append(torch.cat([attack(x, y) for x, y in question.batches]))
    return question.judged(adversarial)


def floor(question: Question) -> Rates:
    """The bare loop on the lossless form: forward, backward to the input, step; nothing else. What no library can undercut."""
    model = question.target.classifier
    parts = [_bare(model, x, y, question) for x, y in question.batches]
    return question.judged([torch.cat(list(batches)) for batches in zip(*parts, strict=True)])


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


def bench_through(library: str) -> Contender:
    """``bench`` itself through ``library``: lossless form, attack, checks and re-prediction; its records are its answer."""

    def contender(question: Question) -> Rates:
        attack = Pgd(attack="pgd", steps=question.steps, rel_step_size=0.25) if question.steps else Fgsm(attack="fgsm")
        unit = Unit("model", 0, attack, library, tuple(Cell(eps, str(eps)) for eps in question.eps))  # type: ignore[arg-type]
        records = run_unit(unit, question.target).records
        return lambda: [100 * float(r.success.sum()) / len(question.target.correct) for r in records]

    return contender


CONTENDERS: dict[str, Contender] = {
    "plain Foolbox": plain_foolbox,
    "plain ART": plain_art,
    "torchattacks": torchattacks,
    "bare loop (floor)": floor,
    "bench, Foolbox": bench_through("foolbox"),
    "bench, ART": bench_through("art"),
}


def random_images(count: int, size: int, classes: int, classifier: Classifier) -> ImageSet:
    """Noise images labelled as ``classifier`` sees them, so that all are attacked by everyone."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size)).astype(np.uint8)
    with torch.inference_mode():
        labels = classifier(torch.from_numpy(pixels / np.float32(255)).to(classifier.device)).argmax(1).cpu().numpy()
    return ImageSet(pixels, labels, tuple(f"noise/{i}" for i in range(count)), tuple(map(str, range(classes))))
