"""Scorecard -> the leaderboard on a terminal, readable at 80 columns and in a pipe."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.render.cells import NONE, number, percent
from bench.render.footer import differences, seeds_table, trust_lines
from bench.scoring.crosscheck import CrossCheck
from bench.scoring.scorecard import AttackScore, ModelScore, Scorecard

T = TypeVar("T")
VERDICT_STYLE = {"agree": "green", "differ": "bold red", "incomplete": "yellow"}


def leaderboard(card: Scorecard, width: int) -> RenderableType:
    """The whole leaderboard of ``card`` for a terminal of ``width`` columns."""
    seeds = len({m.seed for m in card.models}) > 1
    longest = max((len(_title(m, seeds)) for m in card.models), default=0)
    wide = max(1, (width - 24) // (max(14, min(longest, 30)) + 2))
    attacks = [_attacks(card, part, seeds) for part in _chunks(card.models, wide)]
    over_seeds = [seeds_table(card.seeds)] if card.seeds else []
    tables: list[RenderableType] = [_models(card, seeds), *over_seeds, *attacks, *_distances(card, seeds)]
    tables += [_crosschecks(card), *_disagreements(card)]
    parts: list[RenderableType] = [*tables, *trust_lines(card), *differences(card), *_errors(card)]
    return Group(*parts)


def _title(model: ModelScore, seeds: bool) -> str:
    return escape(f"{model.model} #{model.seed}" if seeds else model.model)


def _models(card: Scorecard, seeds: bool) -> Table:
    title = f"{escape(card.suite)}: robust accuracy at eps {card.headline_eps} against the worst attack on each sample"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
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
            _title(m, seeds),
            f"{m.trainable_parameters:,}",
            percent(m.accuracy),
            certainty,
            percent(m.worst_case, m.trust),
        )
    return table


def _attacks(card: Scorecard, models: Sequence[ModelScore], seeds: bool) -> Table:
    table = Table(
        title="attack success rate, % [95 %]: broken through either library", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("attack")
    table.add_column("eps", justify="right")
    for model in models:
        table.add_column(_title(model, seeds), justify="right", overflow="fold", min_width=14)
    found = {(a.model, a.seed, a.attack, a.eps): a for a in card.attacks}
    checked = {(c.model, c.seed, c.attack, c.eps) for c in card.crosschecks}
    previous = None
    for attack, eps in dict.fromkeys((c.attack, c.eps) for c in card.crosschecks):
        if previous is not None and attack != previous:
            table.add_section()
        asked = [(m.model, m.seed, attack, eps) for m in models]
        style = "bold" if eps == card.headline_eps else ""
        shown = escape(attack) if attack != previous else ""
        table.add_row(shown, eps, *(_rate(found.get(key), run=key in checked) for key in asked), style=style)
        previous = attack
    return table


def _rate(score: AttackScore | None, *, run: bool) -> str | Text:
    """A rate; a dash where the suite asks nothing, such as a model's own adversarials transferred to itself."""
    if score is not None:
        return percent(score.asr, score.trust)
    return Text("error", style="red") if run else NONE


def _distances(card: Scorecard, seeds: bool) -> Iterator[Table]:
    """How far the minimum-norm attacks had to go."""
    curves = [c for c in card.curves if c.budget == "minimum-norm"]
    if not curves:
        return
    table = Table(title="minimum-norm attacks: distance to the adversarial", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("attack", "library", "model", "norm", "median\ndistance", "area under\nthe curve"):
        table.add_column(name, justify="right" if "\n" in name else "left", overflow="fold")
    for c in curves:
        model = f"{c.model} #{c.seed}" if seeds else c.model
        table.add_row(escape(c.attack), c.library, escape(model), c.norm, number(c.curve.median), number(c.curve.area))
    yield table


def _crosschecks(card: Scorecard) -> Table:
    table = Table(title="cross-check: Foolbox and ART on the same question", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("attack", "verdict", "cells", "lowest agreement", "largest ASR gap"):
        table.add_column(name, justify="left" if name in {"attack", "verdict"} else "right")
    for attack in dict.fromkeys(c.attack for c in card.crosschecks):
        for verdict in dict.fromkeys(c.verdict for c in card.crosschecks if c.attack == attack):
            rows = [c for c in card.crosschecks if (c.attack, c.verdict) == (attack, verdict)]
            table.add_row(escape(attack), Text(verdict, style=VERDICT_STYLE.get(verdict, "")), str(len(rows)), *_extremes(rows))
    return table


def _disagreements(card: Scorecard) -> Iterator[Text]:
    for c in card.crosschecks:
        if c.verdict == "differ":
            stronger = f"{c.stronger} is stronger" if c.stronger else "neither is stronger"
            cause = f"; likely cause: {c.cause}" if c.cause else ""
            names = ", ".join(c.samples[:3]) + (", ..." if len(c.samples) > 3 else "")
            yield Text(f" {c.model}/{c.seed}/{c.attack} eps {c.eps}: {stronger} (samples {names}){cause}", style="red")


def _extremes(rows: Sequence[CrossCheck]) -> tuple[str, str]:
    agreements = [c.agreement for c in rows if c.agreement is not None]
    gaps = [c.gap for c in rows if c.gap is not None]
    return number(min(agreements, default=None)), number(max(gaps, default=None))


def _errors(card: Scorecard) -> Iterator[Text]:
    for cell in card.cells:
        e = cell.entry
        if e.status != "ok":
            what = f"{e.model}/{e.seed}/{e.attack}/{e.library} eps {e.eps}"
            yield Text(f"{what}: {e.status}{': ' + e.error if e.error else ''}", style="red")


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]
