"""How fast the same grid runs: ratios of medians, measured interleaved in one run of ``python -m tests.benchmarks.grid``."""

import argparse
import gc
import itertools
import statistics
import sys
import time
from fractions import Fraction

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torchvision.models import resnet18

from adapters.classifier import Classifier
from tests.benchmarks.contenders import CONTENDERS, Question, random_images

CLASSES = 10
GRIDS: dict[str, tuple[int, tuple[int, ...]]] = {
    "FGSM, 8 eps": (0, (1, 2, 4, 6, 8, 12, 16, 32)),
    "PGD-10, 4 eps": (10, (2, 4, 8, 16)),
    "PGD-40, 1 eps": (40, (8,)),
}
"""Name -> (steps, eps in 255ths)."""


def make_question(grid: str, *, size: int, count: int, lora: bool, device: str) -> Question:
    """A freshly initialised ResNet18, plain or with LoRA on fc and the stem, and ``count`` noise images."""
    torch.manual_seed(0)
    network: nn.Module = resnet18(num_classes=CLASSES)
    if lora:
        from peft import LoraConfig, get_peft_model

        network = get_peft_model(network, LoraConfig(r=8, target_modules=r"(fc|conv1)", init_lora_weights=False))
    classifier = Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, num_classes=CLASSES).eval().to(device)
    steps, pixels = GRIDS[grid]
    samples = random_images(count, size, CLASSES, classifier)
    return Question(classifier, samples, tuple(Fraction(p, 255) for p in pixels), steps)


def measure(question: Question, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """(seconds of each round, success rates in percent at each eps) per contender; the first, uncounted round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    rates: dict[str, list[float]] = {}
    for round_, name in itertools.product(range(rounds + 1), CONTENDERS):  # interleaved: drift hits all alike
        gc.collect()
        started = time.perf_counter()
        judge = CONTENDERS[name](question)
        if question.classifier.device.type == "cuda":
            torch.cuda.synchronize()
        if round_:
            seconds[name].append(time.perf_counter() - started)
        rates[name] = judge()
    return seconds, rates


def report(title: str, seconds: dict[str, list[float]], rates: dict[str, list[float]]) -> Table:
    """Medians, and how many times faster than plain Foolbox and plain ART each contender is."""
    table = Table(title=title, title_justify="left")
    for column in ("", "median s", "min", "max", "x plain Foolbox", "x plain ART", "x floor", "largest ASR gap"):
        table.add_column(column, justify="right" if column else "left")
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    base = rates["plain Foolbox"]
    for name, taken in seconds.items():
        ratios = (median[peer] / median[name] for peer in ("plain Foolbox", "plain ART", "bare loop (floor)"))
        gap = f"{max(abs(a - b) for a, b in zip(base, rates[name], strict=True)):.2f}"
        figures = (median[name], min(taken), max(taken), *ratios)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), gap)
    return table


def main() -> None:
    """Measure every grid and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--count", type=int, default=64, help="number of images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lora", action="store_true", help="attack a LoRA model instead of a plain one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    console = Console(width=120, file=sys.stdout)
    for grid in GRIDS:
        question = make_question(grid, size=options.size, count=options.count, lora=options.lora, device=options.device)
        kind = "LoRA" if options.lora else "plain"
        title = f"{grid}: {kind} ResNet18, {options.size} px, {options.count} images, {options.device}, {options.rounds} rounds"
        console.print(report(title, *measure(question, options.rounds)))


if __name__ == "__main__":
    main()
