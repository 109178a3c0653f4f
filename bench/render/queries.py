"""Success over queries, as a table."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from bench.eps import eps_text
from bench.render.cells import chunks, percent
from bench.render.rates import title
from bench.scoring.scorecard import ModelScore, Scorecard
from bench.text import NONE


def queries(card: Scorecard, width: int) -> Iterator[Table]:
    """ASR over queries for a terminal of ``width`` columns; nothing where no attack is a black box."""
    seeds = len({m.model.seed for m in card.models}) > 1
    longest = max((len(title(m.model, seeds)) for m in card.models), default=0)
    wide = max(1, (width - 24) // (max(14, min(longest, 30)) + 2))
    for part in chunks(card.models, wide) if card.queries else ():
        yield _table(card, part, seeds)


def _table(card: Scorecard, models: Sequence[ModelScore], seeds: bool) -> Table:
    """ASR over queries, through each library by itself: a row for each number of queries."""
    table = Table(
        title="attack success rate over queries, % [95 %]", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("attack")
    table.add_column("queries", justify="right")
    for model in models:
        table.add_column(escape(title(model.model, seeds)), justify="right", overflow="fold", min_width=14)
    units = dict.fromkeys((q.entry.attack, q.entry.library) for q in card.queries)
    for attack, library in units:
        scores = [q for q in card.queries if (q.entry.attack, q.entry.library) == (attack, library)]
        found = {q.entry.id.model: q for q in scores}
        first = scores[0]
        names = (escape(attack), f"  {library}, {eps_text(first.entry.eps)}")
        for i, budget in enumerate(first.budgets):
            own = [found.get(m.model) for m in models]
            shown = [NONE if q is None else percent(q.asr[i]) for q in own]
            table.add_row(names[i] if i < len(names) else "", f"{budget:,}", *shown)
        table.add_section()
    return table
