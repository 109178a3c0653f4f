"""The study's questions: the suites that ask each, and the answer that follows from what they found."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.eps import eps_text
from bench.ids import AttackEps, ModelId
from bench.scoring.comparison import WORST_CASE, Outcome, PairedDifference, Row
from bench.scoring.published import PublishedCell, levels
from bench.scoring.rescored import share
from bench.scoring.robust_training import Answer as RobustAnswer
from bench.scoring.robust_training import answers
from bench.scoring.statistics import MeanDifference, holm, mean_difference
from bench.text import interval, points
from docs.study.found import Difference, Found, differences
from docs.study.one_run import OneRun, one_runs, pooled
from docs.study.tables import (
    WOULD,
    answers_table,
    certain,
    in_words,
    models_table,
    numbers,
    percent,
    seen,
    table,
)


@dataclass(frozen=True)
class Answer:
    """One sentence for the head of the page, and the tables that it follows from."""

    short: str
    lines: list[str]


@dataclass(frozen=True)
class Question:
    """``suites`` ask it in sizes for one core, ``larger`` ones for a GPU.

    ``answer`` takes what was found of the former.
    """

    letter: str
    title: str
    suites: tuple[str, ...]
    larger: tuple[str, ...]
    answer: Callable[[Sequence[Found]], Answer]
    figures: bool = False


def three_ways(runs: Sequence[Found]) -> Answer:
    """(a): each model against the first in all that was compared, and the two adapters against each other."""
    lines, short = [], []
    for found in runs:
        asked = [
            d
            for d in differences(found.scored)
            if d.baseline == found.scored.baseline or d.quantity == "robust accuracy"
        ]
        lines += ["", f"### {found.name}", "", *models_table(found, beside_the_study=True), ""]
        lines += [f"![Attack success and certainty over eps]({found.name}.svg)", ""]
        lines += answers_table(asked)
        worst = [d for d in asked if d.quantity == "robust accuracy"]
        short.append(f"{found.name}: {'; '.join(map(in_words, worst)) or NOTHING.lower()}")
    return Answer(". ".join(short), lines)


RANKED = re.compile(r"(?P<layers>.+)-r(?P<rank>\d+)")


def ranks_and_layers(runs: Sequence[Found]) -> Answer:
    """(b): pairs that differ in their rank alone, and pairs that differ in their layers alone."""
    lines, short = [], []
    for found in runs:
        worst = [d for d in differences(found.scored) if d.quantity == "robust accuracy"]
        rank, layers = (
            [d for d in worst if _differ(d) == "rank"],
            [d for d in worst if _differ(d) == "layers"],
        )
        lines += ["", *models_table(found), "", *answers_table([*rank, *layers])]
        short.append(f"{_count('rank', rank, found)}. {_count('layers', layers, found)}. {CAP}")
    return Answer(". ".join(short), lines)


def _differ(d: Difference) -> str:
    one, other = RANKED.fullmatch(d.model), RANKED.fullmatch(d.baseline)
    if one is None or other is None:
        return ""
    if one["layers"] == other["layers"]:
        return "rank"
    return "layers" if one["rank"] == other["rank"] else ""


NOTHING = "Nothing that was run can be compared"
CAP = (
    "No model is right under attack more often than without one: where clean accuracies are apart, so are"
    " these"
)


def _count(what: str, pairs: Sequence[Difference], found: Found) -> str:
    shown = [d for d in pairs if d.shown]
    clean = {m.model: percent(m.accuracy) for m in found.scored.models}
    said = (
        f"{in_words(d)}, with clean accuracies of {clean[d.model]} and {clean[d.baseline]} %"
        for d in shown or pairs
    )
    count = (
        f"Of {len(pairs)} pairs that differ in {what} alone, {len(shown)} are shown to differ in robust"
        " accuracy"
    )
    return f"{count}: {'; '.join(said)}"


NOT_BLACK_BOX = ("pgd", "noise")
"""What stands beside black-box attacks for comparison: one that sees gradients, and one that sees nothing."""


def certainty_falls(runs: Sequence[Found]) -> Answer:
    """(c): certainty under each attack minus certainty before it, of the same model on the same samples."""
    lines, short = [], []
    for found in runs:
        drops = list(_drops(found))
        head = [
            "model",
            "attack",
            "ASR, % [95 %]",
            "certainty before",
            "under attack",
            "change [95 %]",
            "answer",
            WOULD,
        ]
        lines += [
            "",
            f"### {found.name}",
            "",
            *models_table(found),
            "",
            *table(head, [_drop_row(found, *drop) for drop in drops]),
        ]
        black = [(at, d) for at, d in drops if not at.attack.startswith(NOT_BLACK_BOX)]
        if not black:
            return Answer(NOTHING, lines)
        falls = [d for _, d in black if d.shown and d.difference < 0]
        rises = [d for _, d in black if d.shown and d.difference > 0]
        short.append(
            f"Of {len(black)} pairs of model and black-box attack, certainty falls in {len(falls)}, rises in"
            f" {len(rises)}, and no change is shown in {len(black) - len(falls) - len(rises)}:"
            f" {_span([d for _, d in black])}"
        )
    return Answer(". ".join(short), lines)


def _span(found: Sequence[Difference]) -> str:
    low, high = (min(found, key=lambda d: d.difference), max(found, key=lambda d: d.difference))
    return f"from {numbers(low)} ({low.model}, {low.where}) to {numbers(high)} ({high.model}, {high.where})"


def _drops(found: Found) -> Iterator[tuple[AttackEps, Difference]]:
    run = found.published
    clean = {m.id: levels(m.certainty, run.samples) for m in run.models}
    cells: dict[tuple[str, AttackEps], list[PublishedCell]] = {}
    for cell in run.cells:
        if cell.certainty is not None and cell.sound:
            cells.setdefault((cell.model, AttackEps(cell.attack, cell.eps)), []).append(cell)
    asked = {
        at: mean_difference(
            np.stack([levels(c.certainty or "", run.samples) for c in own]),
            np.stack([clean[c.id] for c in own]),
            0.05 / len(cells),
        )
        for at, own in cells.items()
        if len(own) == found.seeds
    }
    for ((model, at), d), p in zip(asked.items(), holm([d.p_value for d in asked.values()]), strict=True):
        yield at, _difference(model, "certainty before", "certainty", f"{at.attack} {eps_text(at.eps)}", d, p)


def _difference(
    model: str, baseline: str, quantity: str, where: str, d: MeanDifference, p: float
) -> Difference:
    return Difference(
        model, baseline, quantity, where, d.difference, d.low, d.high, p, d.detectable, p <= 0.05, equal=False
    )


def _drop_row(found: Found, at: AttackEps, d: Difference) -> list[str]:
    (rate,) = [r for r in found.scored.rates if (r.model, r.attack, r.eps) == (d.model, at.attack, at.eps)]
    (model,) = [m for m in found.scored.models if m.model == d.model]
    answer = "no change shown" if not d.shown else "falls" if d.difference < 0 else "rises"
    return [
        d.model,
        d.where,
        percent(rate.asr),
        certain(model.certainty),
        certain(rate.certainty),
        numbers(d),
        f"**{answer}**",
        seen(d),
    ]


def defences(runs: Sequence[Found]) -> Answer:
    """(d): what each defended model gains over the same weights without defences, naive and adaptive."""
    lines, short = [], []
    for found in runs:
        lines += ["", f"### {found.name}", "", *models_table(found), ""]
        lines += [f"- {d.model.title(seeds=found.seeds > 1)}: {d.sentence}" for d in found.scored.defences]
        gains = [d.gain for d in found.scored.defences if d.gain is not None]
        if not gains:
            return Answer(NOTHING, lines)
        shown = sum(g.shown and g.difference > 0 for g in gains)
        low, high = min(gains, key=lambda g: g.difference), max(gains, key=lambda g: g.difference)
        short.append(
            f"{found.name}: of {len(gains)} defended models, {shown} are shown to gain robust accuracy"
            f" against attackers who know the defence; the gains are from {_gain(low)} to {_gain(high)}, and"
            f" {_could(gains)} would have been seen"
        )
    return Answer(". ".join(short), lines)


def _could(gains: Sequence[PairedDifference]) -> str:
    """What would have been found with a probability of 0.8: of most of them less, of some more."""
    known = [g.detectable for g in gains if not math.isnan(g.detectable)]
    return f"gains of {points(min(known))} to {points(max(known))} points" if known else "none"


def _gain(g: PairedDifference) -> str:
    return f"{points(g.difference)} points {interval(g.low, g.high)}"


def robust_training(runs: Sequence[Found]) -> Answer:
    """(e): what adapters keep of a robust backbone, and what adversarial training gives them."""
    lines, short = [], []
    for found in runs:
        said = answers(found.published, _ranked(found))
        lines += ["", f"### {found.name}", "", *models_table(found), ""]
        for question in dict.fromkeys(a.question for a in said):
            own = [a.text for a in said if a.question == question]
            lines += [f"*{question}*", "", *(f"- {text}" for text in own), ""]
            short.append(
                f"{found.name}: {question} {'; '.join(_verdict(a) for a in said if a.question == question)}"
            )
    return Answer("".join(f"\n    - {one}" for one in short) or NOTHING, lines)


def _verdict(answer: RobustAnswer) -> str:
    """An answer without all it rests on: the last difference in robust accuracy, and what is said of all."""
    last = [d for d in answer.differences if d.quantity == "robust accuracy"][-1]
    gap = f"{points(last.difference)} points {interval(last.low, last.high)} against {last.against}"
    return f"{answer.model}: {answer.text.rpartition(': ')[2]} ({gap})"


def _ranked(found: Found) -> dict[ModelId, Outcome]:
    run = found.published
    models = {m.id: m for m in run.models}
    return {c.id: run.outcome(models[c.id], c) for c in run.cells if c.attack == WORST_CASE and c.sound}


def transfer(runs: Sequence[Found]) -> Answer:
    """(f): what fools a model that anyone can make of the public backbone, tried on the private adapters."""
    lines, short = [], []
    for found in runs:
        rows, said = [], []
        for model, direct, through, d in _transfers(found):
            rows.append([model, direct, through, numbers(d), f"**{d.answer}**"])
            said.append(
                f"{model} loses {through} % of what it gets right to attacks on the public model, {direct} %"
                " to its own"
            )
        head = [
            "private model",
            "attacked itself, ASR %",
            "through the public model, ASR %",
            "difference [95 %]",
            "broken more often?",
        ]
        lines += ["", *models_table(found), "", *table(head, rows)]
        short.append("; ".join(said))
    return Answer(". ".join(short), lines)


def _transfers(found: Found) -> Iterator[tuple[str, str, str, Difference]]:
    run = found.published
    models = {m.id: m for m in run.models}
    lost: dict[tuple[str, str], list[Row]] = {}
    for c in run.cells:
        if c.eps == run.headline_eps:
            lost.setdefault((c.model, c.attack), []).append(run.outcome(models[c.id], c).lost)
    asked = [
        (model, attack, f"{attack} on {PUBLIC}")
        for model, attack in lost
        if model != PUBLIC and (model, f"{attack} on {PUBLIC}") in lost
    ]
    tested = [
        mean_difference(np.stack(lost[m, on]), np.stack(lost[m, a]), 0.05 / len(asked)) for m, a, on in asked
    ]
    for (m, a, on), d, p in zip(asked, tested, holm([d.p_value for d in tested]), strict=True):
        where = f"{a} {eps_text(run.headline_eps)}"
        yield (
            m,
            percent(share(lost[m, a])),
            percent(share(lost[m, on])),
            _difference(m, on, "ASR", where, d, p),
        )


PUBLIC = "public"
"""What study_transfer calls the model that anyone can make of the backbone."""


def one_run_each(runs: Sequence[Found]) -> Answer:
    """(g): the study's own method, again and again."""
    rows = [one for found in runs for one in one_runs(found)]
    if not rows:
        return Answer(NOTHING, [])
    head = ["suite", "claim", "of", "several trainings say [95 %]", "single trainings say, points",
            "contradict it, % [95 %]", "unfounded, %", "two contradict each other, %"]  # fmt: skip
    lines = ["", *table(head, [_one_run_row(one) for one in rows])]
    shown, null = [one for one in rows if one.claim.shown], [one for one in rows if not one.claim.shown]
    short = [f"Of {len(rows)} comparisons, several trainings show {len(shown)}"]
    if shown:
        wrong = pooled([one.contradicts for one in shown], shown)
        short.append(
            f"where they do, a single training of each model says otherwise in {percent(wrong)} % of its"
            " draws"
        )
    if null:
        unfounded = pooled([one.unfounded for one in null], null)
        short.append(f"where they do not, it names a winner all the same in {percent(unfounded)} %")
    apart = pooled([one.split for one in rows], rows)
    short.append(f"two such studies contradict each other in {percent(apart)} % of pairs")
    return Answer("; ".join(short), lines)


def _one_run_row(one: OneRun) -> list[str]:
    d = one.claim
    span = f"{points(min(one.found))} to {points(max(one.found))}"
    rates = [pooled([value], [one]) for value in (one.contradicts, one.unfounded, one.split)]
    where = f"{d.quantity}, {d.where}"
    return [
        one.suite,
        f"{d.model} vs {d.baseline}",
        where,
        f"{numbers(d)}: {d.verdict}",
        span,
        *map(percent, rates),
    ]


QUESTIONS = (
    Question(
        "a", "Full fine-tuning, LoRA-FC and LoRA-FC+Conv1 under FGSM and PGD: which is more robust,"
        " which more certain?",
        ("study_digits", "study_tiny_imagenet", "study_cifar10", "study_imagenet"),
        ("tiny_imagenet", "tiny_imagenet_split", "cifar10", "imagenet_lite"), three_ways, figures=True,
    ),
    Question("b", "Does LoRA's rank, or the layers that it stands on, change robustness?",
             ("study_rank",), ("study_rank_gpu",), ranks_and_layers),
    Question("c", "Does certainty fall under black-box attacks too?", ("study_black_box", "black_box"),
             ("study_black_box_gpu",), certainty_falls),
    Question("d", "Is switching between adapters, or squeezing, a defence?",
             ("study_switching", "switching", "defences"), ("study_switching_gpu",), defences),
    Question("e", "Does an adapter keep a backbone's robustness, or can adversarial training give it any?",
             ("study_robust", "robust_lora", "cifar10_robust_cpu"),
             ("cifar10_robust", "tiny_imagenet_robust"), robust_training),
    Question("f", "Does the public backbone let someone attack a private adapter?", ("study_transfer",),
             ("study_transfer_gpu",), transfer),
    Question("g", "What would one have concluded from one training of each, without intervals?",
             ("study_digits", "study_tiny_imagenet", "study_cifar10", "study_imagenet", "study_rank"), (),
             one_run_each),
)  # fmt: skip
