"""Scorecard -> the leaderboard on a terminal, readable at 80 columns and in a pipe."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.text import Text

from bench.eps import eps_text
from bench.ids import AttackEps
from bench.render.answers import answer_lines
from bench.render.defences import defences
from bench.render.fitted import GAP, NARROW_GAP, fitted
from bench.render.footer import differences, remarks, trust
from bench.render.numbers import across, chunks, percent, spread
from bench.render.queries import queries
from bench.render.rates import (
    ERROR,
    NOT_RUN,
    Rates,
    asr_gap,
    crosscheck_title,
    success_rates,
    through,
)
from bench.render.seen import seen_lines
from bench.scoring.crosscheck import pairs
from bench.scoring.scorecard import Scorecard
from bench.text import NONE, number

COLOURS = {ERROR: "red", NOT_RUN: "dim"}
VERDICT_STYLE = {"agree": "green", "differ": "bold red", "undecided": "yellow", "incomplete": "yellow"}


def leaderboard(card: Scorecard, width: int) -> RenderableType:
    """The whole leaderboard of ``card`` for a terminal of ``width`` columns, over all its training seeds."""
    above = [*seen_lines(card.seen), *remarks(card, "unchecked")]
    tables: list[RenderableType] = [
        *([*above, Text()] if above else []),
        _over_seeds(card, width) if card.seeds else _models(card, width),
        *remarks(card, "order"),
        *defences(card, width),
        *_attacks(card, success_rates(card), width),
        *queries(card, width),
        *_distances(card, width),
        _crosschecks(card, width),
        *(Text(" ") + line for line in remarks(card, "cross-check")),
    ]
    said = [*trust(card, width), *answer_lines(card), *differences(card), *remarks(card, "error", "not run")]
    return Group(*tables, *remarks(card, "carried", "precision"), *said)


MODELS = (
    "#", "model", "trained\nparams", "clean acc.\n% [95 %]", "certainty\nclean/adv",
    "robust acc.\n% [95 %]",
)  # fmt: skip


def _models(card: Scorecard, width: int) -> RenderableType:
    at = eps_text(card.headline_eps)
    rows = [
        (
            NONE if m.rank is None else str(m.rank),
            card.title(m.model),
            f"{m.trainable_parameters:,}",
            percent(m.accuracy),
            f"{number(m.certainty)}/{number(m.certainty_adv)}",
            Text(percent(m.worst_case, m.trust), style="bold"),
        )
        for m in card.models
    ]
    name = f"{card.suite}: robust accuracy at eps {at} against the worst attack on each sample"
    return fitted(name, MODELS, rows, width, right=("#", *MODELS[2:]))


OVER_SEEDS = (
    "#", "model", "clean acc. %\nmean ± sd", "certainty\nclean", "robust acc. %\nmean ± sd",
    "[95 %, training\nand samples]",
)  # fmt: skip


def _over_seeds(card: Scorecard, width: int) -> RenderableType:
    """Each model over its training seeds."""
    seeds, at = card.seeds[0].accuracy.seeds, eps_text(card.headline_eps)
    rows = [
        (
            NONE if s.rank is None else str(s.rank),
            s.model,
            spread(s.accuracy),
            number(s.certainty),
            *across(s.worst_case, s.trust),
        )
        for s in card.seeds
    ]
    name = f"{card.suite}: over {seeds} training seeds, worst attack on each sample at eps {at}"
    return fitted(name, OVER_SEEDS, rows, width, right=("#", *OVER_SEEDS[2:]))


def _attacks(card: Scorecard, rates: Rates, width: int) -> Iterator[RenderableType]:
    """Success rates: a column a model where that fits, else a table for each attack with a line a model."""
    over = ", mean ± sd over seeds [95 %]" if card.seeds else f", % [95 %]: broken through {through(card)}"
    asked = list(dict.fromkeys(AttackEps(c.attack, c.eps) for c in card.crosschecks))
    least = 22 if card.seeds else 14
    longest = max([least, *map(len, rates)])
    if 24 + len(rates) * (longest + GAP) <= width:
        rows = _all_attacks(asked, rates, card.headline_eps)
        yield fitted(
            f"attack success rate{over}", ("attack", "eps", *rates), rows, width, right=("eps", *rates)
        )
        return
    for attack in dict.fromkeys(at.attack for at in asked):
        grid = [at for at in asked if at.attack == attack]
        for part in chunks(grid, max(1, (width - 4 - min(longest, 30)) // (least + NARROW_GAP))):
            eps = [eps_text(at.eps) for at in part]
            lines: list[list[str | Text]] = [
                [model, *(_rate(own, at) for at in part)] for model, own in rates.items()
            ]
            yield fitted(f"{attack}: attack success rate{over}", ("model", *eps), lines, width, right=eps)


def _all_attacks(
    asked: Sequence[AttackEps], rates: Rates, headline: Fraction
) -> Iterator[tuple[str | Text, ...]]:
    """A row for each attack and eps, with a line between two attacks."""
    previous = None
    for at in asked:
        if previous not in (None, at.attack):
            yield ()
        emphasis = "bold" if at.eps == headline else ""
        shown = at.attack if at.attack != previous else ""
        rated = (_rate(own, at, emphasis) for own in rates.values())
        yield Text(shown, style=emphasis), Text(eps_text(at.eps), style=emphasis), *rated
        previous = at.attack


def _rate(own: Mapping[AttackEps, str], at: AttackEps, emphasis: str = "") -> Text:
    found = own.get(at, NONE)
    return Text(found, style=f"{emphasis} {COLOURS.get(found, '')}".strip())


DISTANCES = ("attack", "library", "model", "norm", "median\ndistance", "area under\nthe curve")


def _distances(card: Scorecard, width: int) -> Iterator[RenderableType]:
    """How far the minimum-norm attacks had to go."""
    curves = [c for c in card.curves if c.budget == "minimum-norm"]
    if not curves:
        return
    rows = [
        (c.attack, c.library, card.title(c.model), c.norm, number(c.curve.median), number(c.curve.area))
        for c in curves
    ]
    name = "minimum-norm attacks: distance to the adversarial"
    yield fitted(name, DISTANCES, rows, width, right=DISTANCES[4:])


def _crosschecks(card: Scorecard, width: int) -> RenderableType:
    """A row for each attack and verdict, and for each pair of libraries where there are several."""
    several = len(pairs(card.crosschecks)) > 1
    names = ("attack", *(["libraries"] if several else []), "verdict")
    numbers = ("cells", "lowest agreement", "widest ASR gap [95 %]")
    rows: list[list[str | Text]] = [
        [
            e.attack,
            *([e.pair] if several else []),
            Text(e.verdict, style=VERDICT_STYLE.get(e.verdict, "")),
            str(e.cells),
            number(e.lowest_agreement),
            asr_gap(e.widest),
        ]
        for e in card.extremes
    ]
    return fitted(f"cross-check: {crosscheck_title(card)}", (*names, *numbers), rows, width, right=numbers)
