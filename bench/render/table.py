"""Scorecard -> the leaderboard on a terminal, readable at 80 columns and in a pipe."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.eps import eps_text
from bench.ids import AttackEps
from bench.render.answers import answer_lines
from bench.render.cells import across, chunks, percent, spread
from bench.render.defences import defences
from bench.render.footer import (
    STYLE,
    carried_line,
    differences,
    failures,
    not_run,
    precision_line,
    trust_lines,
    unchecked_line,
)
from bench.render.queries import queries
from bench.render.rates import (
    ERROR,
    NOT_RUN,
    UNDECIDED,
    Rates,
    asr_gap,
    checked_pairs,
    crosscheck_title,
    success_rates,
    through,
    title,
)
from bench.render.seen import seen_lines
from bench.scoring.scorecard import Scorecard
from bench.text import NONE, number

VERDICT_STYLE = {"agree": "green", "differ": "bold red", "undecided": "yellow", "incomplete": "yellow"}


def leaderboard(card: Scorecard, width: int) -> RenderableType:
    """The whole leaderboard of ``card`` for a terminal of ``width`` columns, over all its training seeds."""
    models, rates = _over_seeds(card) if card.seeds else _models(card), success_rates(card)
    attacks = _attacks(card, rates, width)
    above = [*(seen_lines(card.seen) if card.seen else ()), *_unchecked(card)]
    above = [*above, Text()] if above else []
    tables: list[RenderableType] = [
        *above,
        models,
        *defences(card),
        *attacks,
        *queries(card, width),
        *_distances(card),
    ]
    tables += [_crosschecks(card), *_disagreements(card)]
    said = [*trust_lines(card), *answer_lines(card), *differences(card), *_errors(card)]
    parts: list[RenderableType] = [*tables, *_precision(card), *said]
    return Group(*(_titled(part) for part in parts))


def _titled(part: RenderableType) -> RenderableType:
    """``part`` with its title on a line of its own: a table would break it at its own width."""
    if not isinstance(part, Table) or part.title is None:
        return part
    line, part.title = Text.from_markup(str(part.title), style="italic"), None
    return Group(line, part)


def _unchecked(card: Scorecard) -> Iterator[Text]:
    line = unchecked_line(card)
    if line is not None:
        yield Text(line, style=STYLE["unchecked"])


def _precision(card: Scorecard) -> Iterator[Text]:
    for line in (carried_line(card), precision_line(card)):
        if line is not None:
            yield Text(line)


def _models(card: Scorecard) -> Table:
    seeds = len({m.model.seed for m in card.models}) > 1
    caption = (
        f"{escape(card.suite)}: robust accuracy at eps {eps_text(card.headline_eps)} against the worst attack"
        " on each sample"
    )
    table = Table(title=caption, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold")
    table.add_column("trained\nparams", justify="right", no_wrap=True)
    table.add_column("clean acc.\n% [95 %]", justify="right", no_wrap=True)
    table.add_column("certainty\nclean/adv", justify="right", no_wrap=True)
    table.add_column("robust acc.\n% [95 %]", justify="right", no_wrap=True, style="bold")
    for m in card.models:
        certainty = f"{number(m.certainty)}/{number(m.certainty_adv)}"
        table.add_row(
            NONE if m.rank is None else str(m.rank),
            escape(title(m.model, seeds)),
            f"{m.trainable_parameters:,}",
            percent(m.accuracy),
            certainty,
            percent(m.worst_case, m.trust),
        )
    return table


def _over_seeds(card: Scorecard) -> Table:
    """Each model over its training seeds."""
    seeds = card.seeds[0].accuracy.seeds
    at = eps_text(card.headline_eps)
    title = f"{escape(card.suite)}: over {seeds} training seeds, worst attack on each sample at eps {at}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold")
    for name in (
        "clean acc. %\nmean ± sd",
        "certainty\nclean",
        "robust acc. %\nmean ± sd",
        "[95 %, training\nand samples]",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for s in card.seeds:
        rank = NONE if s.rank is None else str(s.rank)
        table.add_row(
            rank, escape(s.model), spread(s.accuracy), number(s.certainty), *across(s.worst_case, s.trust)
        )
    return table


def _attacks(card: Scorecard, rates: Rates, width: int) -> Iterator[Table]:
    """Success rates: a column a model where that fits, else a table for each attack with a line a model."""
    over = ", mean ± sd over seeds [95 %]" if card.seeds else f", % [95 %]: broken through {through(card)}"
    asked = list(dict.fromkeys(AttackEps(c.attack, c.eps) for c in card.crosschecks))
    least = 22 if card.seeds else 14
    longest = max([least, *map(len, rates)])
    if 24 + len(rates) * (longest + 2) <= width:
        yield _all_attacks(f"attack success rate{over}", asked, rates, card.headline_eps)
        return
    for attack in dict.fromkeys(at.attack for at in asked):
        grid = [at for at in asked if at.attack == attack]
        for part in chunks(grid, max(1, (width - 4 - min(longest, 30)) // (least + 2))):
            yield _one_attack(f"attack success rate{over}", attack, part, rates)


def _all_attacks(title: str, asked: Sequence[AttackEps], rates: Rates, headline: Fraction) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("attack")
    table.add_column("eps", justify="right")
    for model in rates:
        table.add_column(escape(model), justify="right", overflow="fold", min_width=14)
    previous = None
    for at in asked:
        if previous is not None and at.attack != previous:
            table.add_section()
        shown = escape(at.attack) if at.attack != previous else ""
        cells = (_rate(own, at) for own in rates.values())
        table.add_row(shown, eps_text(at.eps), *cells, style="bold" if at.eps == headline else "")
        previous = at.attack
    return table


def _one_attack(title: str, attack: str, grid: Sequence[AttackEps], rates: Rates) -> Table:
    table = Table(title=f"{escape(attack)}: {title}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("model", overflow="fold")
    for at in grid:
        table.add_column(eps_text(at.eps), justify="right", no_wrap=True)
    for model, own in rates.items():
        table.add_row(escape(model), *(_rate(own, at) for at in grid))
    return table


def _rate(own: Mapping[AttackEps, str], at: AttackEps) -> Text:
    found = own.get(at, NONE)
    return Text(found, style={ERROR: "red", NOT_RUN: "dim"}.get(found, ""))


def _distances(card: Scorecard) -> Iterator[Table]:
    """How far the minimum-norm attacks had to go."""
    curves = [c for c in card.curves if c.budget == "minimum-norm"]
    seeds = len({c.model.seed for c in curves}) > 1
    if not curves:
        return
    table = Table(
        title="minimum-norm attacks: distance to the adversarial", box=box.SIMPLE_HEAD, title_justify="left"
    )
    for name in ("attack", "library", "model", "norm", "median\ndistance", "area under\nthe curve"):
        table.add_column(name, justify="right" if "\n" in name else "left", overflow="fold")
    for c in curves:
        table.add_row(
            escape(c.attack),
            c.library,
            escape(title(c.model, seeds)),
            c.norm,
            number(c.curve.median),
            number(c.curve.area),
        )
    yield table


def _crosschecks(card: Scorecard) -> Table:
    """A row for each attack and verdict, and for each pair of libraries where there are several."""
    several = len(checked_pairs(card)) > 1
    table = Table(title=f"cross-check: {crosscheck_title(card)}", box=box.SIMPLE_HEAD, title_justify="left")
    names = ("attack", *(["libraries"] if several else []), "verdict")
    for name in (*names, "cells", "lowest agreement", "widest ASR gap [95 %]"):
        table.add_column(name, justify="left" if name in names else "right")
    for e in card.extremes:
        said = Text(e.verdict, style=VERDICT_STYLE.get(e.verdict, ""))
        pair = [escape(e.pair)] if several else []
        table.add_row(
            escape(e.attack), *pair, said, str(e.cells), number(e.lowest_agreement), asr_gap(e.widest)
        )
    return table


def _disagreements(card: Scorecard) -> Iterator[Text]:
    for c in card.crosschecks:
        if c.verdict == "differ":
            stronger = f"{c.stronger} is stronger" if c.stronger else "neither is stronger"
            between = f", {c.pair}" if len(checked_pairs(card)) > 1 else ""
            cause = f"; likely cause: {c.cause}" if c.cause else ""
            names = ", ".join(c.samples[:3]) + (", ..." if len(c.samples) > 3 else "")
            where = f"{c.model}/{c.attack} eps {eps_text(c.eps)}{between}"
            yield Text(f" {where}: {stronger} (samples {names}){cause}", style="red")
    if any(c.verdict == "undecided" for c in card.crosschecks):
        yield Text(f" {UNDECIDED}", style=VERDICT_STYLE["undecided"])


def _errors(card: Scorecard) -> Iterator[Text]:
    yield from (Text(line, style="red") for line in failures(card))
    if line := not_run(card):
        yield Text(line, style="yellow")
