"""How fast the same grid runs: ratios of medians, interleaved in one ``python -m tests.benchmarks.grid``."""

import argparse
import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor

from tests.benchmarks.clock import timed
from tests.benchmarks.contenders import CONTENDERS, FLOOR, Outcomes, Question, Subject
from tests.benchmarks.models import RESNET18, known, make_classifier

UNIT = Fraction(64 * 64, 2550)
"""Eps is in these, over the number of pixels: tenths of 1/255 at 64 px.

There, this model breaks between 1 and 10 of them.
"""
GRIDS: dict[str, tuple[int, tuple[int, ...]]] = {
    "FGSM, 8 eps": (0, (1, 2, 3, 4, 5, 6, 8, 10)),
    "PGD-10, 4 eps": (10, (1, 2, 3, 5)),
    "PGD-40, 1 eps": (40, (2,)),
}
"""Name -> (steps, eps in units)."""
BATCHES = (16, 32, 64, 128, 256)
"""Tried for each contender where batches are tuned."""
ON_GPU = 256
"""Images there: fewer would leave it idle."""
MOST_GAP = 0.2
"""Points of ASR by which float32 results may differ; one sample always may, through rounding."""
HEADER = (
    "",
    "median s",
    "× plain Foolbox",
    "× plain ART",
    "× torchattacks",
    "over the floor",
    "ASR %",
    "other outcomes",
)


@dataclass(frozen=True)
class Setting:
    """Grids against one model: ``count`` images of ``size`` pixels, each contender ``rounds`` times."""

    size: int
    lora: bool
    count: int
    rounds: int
    grids: tuple[str, ...]
    architecture: str = RESNET18


FGSM, PGD, LONG = GRIDS
SETTINGS = (
    Setting(64, False, 32, 3, (FGSM,)),
    Setting(64, False, 16, 3, (PGD,)),
    Setting(64, False, 16, 1, (LONG,)),
    Setting(64, True, 16, 3, (FGSM,)),
    Setting(64, True, 16, 1, (PGD,)),
    Setting(224, False, 4, 1, (FGSM, PGD)),
    Setting(224, True, 4, 1, (FGSM,)),
    *(
        Setting(64, False, 16, 3, (PGD,), name)
        for name in (
            "tf_efficientnet_lite0",
            "mobilenetv3_small_100",
            "convnext_atto",
            "vit_tiny_patch16_224",
        )
    ),
)
"""About 20 minutes on one core; the timings of one round are of one call."""


def ask(subject: Subject, grid: str) -> Question:
    """``grid`` against ``subject``."""
    steps, units = GRIDS[grid]
    _, height, width = subject.samples.input_shape
    return Question(subject, tuple(u * UNIT / (height * width) for u in units), steps)


def measure(questions: dict[str, Question], rounds: int) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """(seconds of each round, samples broken at each eps) per contender; each has its own ``questions``."""
    seconds: dict[str, list[float]] = {name: [] for name in questions}
    outcomes: dict[str, Tensor] = {}
    for name, question in questions.items():
        _warm(name, question)
    for _, (name, question) in itertools.product(
        range(rounds), questions.items()
    ):  # interleaved: drift hits all alike
        taken, found = _timed(name, question)
        seconds[name].append(taken)
        outcomes[name] = torch.stack(found).cpu()
    return seconds, outcomes


def _warm(name: str, question: Question) -> float:
    """Make ready what is made once for a model, and make a short call; the seconds of a second one."""
    _ = question.subject.batches, question.subject.targets, question.subject.frozen
    short = replace(question, eps=question.eps[:1], steps=min(question.steps, 2))
    _timed(name, short)
    return _timed(name, short)[0]


def tuned(name: str, question: Question) -> Question:
    """``question`` in the batches in which ``name`` is fastest."""
    sizes = sorted({min(size, len(question.subject.samples)) for size in BATCHES})
    asked = [replace(question, subject=replace(question.subject, batch=size)) for size in sizes]
    return min(asked, key=partial(_warm, name))


def _timed(name: str, question: Question) -> tuple[float, Outcomes]:
    return timed(lambda: CONTENDERS[name](question), question.subject.classifier.device)


def table(seconds: dict[str, list[float]], outcomes: dict[str, Tensor]) -> Iterator[str]:
    """Markdown: medians, how many times faster than others, how many outcomes differ from plain Foolbox."""
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    yield "| " + " | ".join(HEADER) + " |"
    yield "| --- |" + " ---: |" * (len(HEADER) - 1)
    for name, found in outcomes.items():
        ratios = [
            f"{median[peer] / median[name]:.2f}" for peer in ("plain Foolbox", "plain ART", "torchattacks")
        ]
        over = f"{100 * (median[name] / median[FLOOR] - 1):+.1f} %"
        asr = " ".join(f"{100 * float(eps.float().mean()):.0f}" for eps in found)
        others = f"{int((found != outcomes['plain Foolbox']).sum())} of {found.numel()}"
        yield "| " + " | ".join([name, f"{median[name]:.2f}", *ratios, over, asr, others]) + " |"


def gaps(outcomes: dict[str, Tensor]) -> Iterator[str]:
    """The contenders in float32 that find another ASR than plain Foolbox."""
    base = outcomes["plain Foolbox"].float().mean(1)
    for name, found in outcomes.items():
        gap = 100 * float((found.float().mean(1) - base).abs().max())
        if gap > max(MOST_GAP, 101 / found.shape[1]) and "bf16" not in name:
            yield f"{name}: ASR differs from plain Foolbox by {gap:.1f} points"


def main() -> int:
    """Measure every setting, print its tables, and return 1 if float32 results differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, help="only settings with images of this many pixels")
    parser.add_argument("--network", help="only settings of this architecture")
    parser.add_argument("--rounds", type=int, help="calls of each contender")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--tune", action="store_true", help="each contender in the batches that suit it; always so on a GPU"
    )
    options = parser.parse_args()
    wrong = []
    for setting in SETTINGS:
        if options.size in (None, setting.size) and options.network in (None, setting.architecture):
            wrong += _run(
                replace(setting, rounds=options.rounds or setting.rounds), options.device, tune=options.tune
            )
    return bool(wrong)


def _run(setting: Setting, device: str, *, tune: bool) -> list[str]:
    count, tune = (ON_GPU, True) if device.startswith("cuda") else (setting.count, tune)
    classifier = make_classifier(
        setting.size, lora=setting.lora, device=device, architecture=setting.architecture
    )
    subject = Subject(classifier, known(classifier, setting.size, count))
    wrong = []
    for grid in setting.grids:
        kind = f"{setting.architecture} with LoRA" if setting.lora else setting.architecture
        print(
            f"\n{grid}: {kind}, {count} images of {setting.size} px, {device}, median of {setting.rounds}\n"
        )
        question = ask(subject, grid)
        questions = {name: tuned(name, question) if tune else question for name in CONTENDERS}
        seconds, outcomes = measure(questions, setting.rounds)
        if tune:
            print("batches:", {name: asked.subject.batch for name, asked in questions.items()}, "\n")
        different = list(gaps(outcomes))
        print("\n".join([*table(seconds, outcomes), *different]), flush=True)
        wrong += different
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
