"""The page: what was asked, what was found, and how to find it again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.scoring.statistics import proportion
from bench.text import share
from docs.study.figures import draw
from docs.study.found import Found
from docs.study.questions import QUESTIONS, Question
from docs.study.tables import table, what_was_run

HEAD = """# The study

The study behind this project adapted a ResNet18 in three ways, attacked it, and drew conclusions about LoRA
and robustness from one training of each model, without intervals. Here its questions are asked again: every
difference is paired by sample, and each model is trained several times, so that intervals count what another
training would have changed. Where models were trained once only, that is said: what is found holds for these
models, not for the way in which they were made.

This page is made by `python -m docs.study` from the files in `results/published/`, which hold the outcome of
every sample under every attack; no number, and no answer, is written by hand. One command asks the smallest
question again, offline, in 5 minutes of one core, and makes the page anew:

```sh
python -m docs.study run study_digits
```

Any other suite is run by `bench run`, with what it says that it needs, and published by
`python -m docs.study publish RUN`.

Brackets hold 95 % intervals, each of one difference alone; p-values are Holm's over the family that the
suite's leaderboard corrects, which can take back what an interval shows. What "would have been seen" is the
difference that the test finds with a probability of 0.8. A `!` marks numbers of which a trust check warns, a
`✗` those of which one fails. The suites are in sizes for one core: small images, few samples, short
trainings, and what they show holds for such models. What did not fit is named as not run; suites for a GPU
stand beside them, and were planned (`--dry-run`) only.
"""

CLAIMED: tuple[tuple[str, str, str, float, int, str], ...] = (
    ("RobustBench, Wong2020Fast", "protocol_wong2020fast", "AutoAttack, CIFAR-10, Linf 8/255", 0.4321, 10_000,
     "the checkpoint `Wong2020Fast.pt` and CIFAR-10"),
    ("Wong et al. 2020, the same model", "protocol_wong2020fast", "PGD-50, CIFAR-10, Linf 8/255", 0.4606,
     10_000, "the checkpoint `Wong2020Fast.pt` and CIFAR-10"),
    ("AutoLoRa's table, vanilla robust fine-tuning", "protocol_autolora", "AutoAttack, CIFAR-10, Linf 8/255",
     0.5167, 10_000, "a ResNet50 robust on ImageNet at 4/255, CIFAR-10, a GPU"),
    ("AutoLoRa (ICLR 2024)", "protocol_autolora", "AutoAttack, CIFAR-10, Linf 8/255", 0.5200, 10_000,
     "the same, and its training, which is not here"),
)  # fmt: skip
"""Who claims what: source, its protocol's suite, attack, robust accuracy, of how many samples; its needs."""


def page(runs: dict[str, Found]) -> str:
    """The whole page, in Markdown."""
    sections = [section for question in QUESTIONS for section in _question(question, runs)]
    short = [f"- **({q.letter}) {q.title}** {_short(q, runs)}" for q in QUESTIONS]
    return "\n".join([HEAD, "## In short", "", *short, "", *sections, *_claimed()]) + "\n"


def write(runs: dict[str, Found], folder: Path) -> None:
    """Write index.md and its figures to ``folder``."""
    for name in {
        suite for question in QUESTIONS if question.figures for suite in question.suites
    } & runs.keys():
        draw(runs[name], folder / f"{name}.svg")
    (folder / "index.md").write_text(page(runs), encoding="utf-8")


def _found(question: Question, runs: dict[str, Found]) -> list[Found]:
    return [runs[name] for name in question.suites if name in runs]


def _short(question: Question, runs: dict[str, Found]) -> str:
    found = _found(question, runs)
    return f"{question.answer(found).short}." if found else "Not run: nothing is claimed."


def _question(question: Question, runs: dict[str, Found]) -> Iterator[str]:
    found = _found(question, runs)
    yield f"## ({question.letter}) {question.title}"
    yield ""
    yield from (f"- {what_was_run(one)}" for one in found)
    missing = [f"`{name}`" for name in question.suites if name not in runs]
    if missing:
        yield f"- Not run here: {', '.join(missing)}."
    if question.larger:
        yield (
            "- In larger sizes, planned and not run for this page:"
            f" {', '.join(f'`{name}`' for name in question.larger)}."
        )
    yield from question.answer(found).lines if found else ()
    yield ""


def _claimed() -> Sequence[str]:
    rows = []
    for who, suite, attack, claimed, n, needs in CLAIMED:
        p = proportion(round(claimed * n), n)
        rows.append(
            [
                who,
                attack,
                f"{share(p.value)} [{share(p.low)}, {share(p.high)}]",
                "not run",
                f"`{suite}`",
                needs,
            ]
        )
    return [
        "## Published claims",
        "",
        (
            "What others claim, with the interval that its number of samples gives. No checkpoint of theirs"
            " can be had offline, so"
        ),
        (
            "nothing is measured beside it. The suites are their protocols: `bench run SUITE --dry-run` plans"
            " them, and names the"
        ),
        (
            "file that is missing. Claims within each other's interval need a paired test, which their tables"
            " do not have."
        ),
        "",
        *table(["claim", "attack", "claimed: robust, % [95 %]", "measured", "suite", "needs"], rows),
    ]
