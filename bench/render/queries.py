"""Success over queries, as a table."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from bench.eps import eps_text
from bench.render.fitted import NARROW_GAP, fitted
from bench.render.numbers import chunks, percent
from bench.scoring.scorecard import ModelScore, Scorecard
from bench.text import NONE


def queries(card: Scorecard, width: int) -> Iterator[RenderableType]:
    """ASR over queries for a terminal of ``width`` columns; nothing where no attack is a black box."""
    longest = max((len(card.title(m.model)) for m in card.models), default=0)
    wide = max(1, (width - 24) // (max(14, min(longest, 30)) + NARROW_GAP))
    for part in chunks(card.models, wide) if card.queries else ():
        names = [card.title(m.model) for m in part]
        columns, rows = ("attack", "queries", *names), _rows(card, part)
        yield fitted("attack success rate over queries, % [95 %]", columns, rows, width, right=columns[1:])


def _rows(card: Scorecard, models: Sequence[ModelScore]) -> Iterator[tuple[str, ...]]:
    """Through each library by itself: a row for each number of queries, a line before the next library."""
    units = dict.fromkeys((q.entry.attack, q.entry.library) for q in card.queries)
    for n, (attack, library) in enumerate(units):
        if n:
            yield ()
        scores = [q for q in card.queries if (q.entry.attack, q.entry.library) == (attack, library)]
        found = {q.entry.id.model: q for q in scores}
        first = scores[0]
        names = (attack, f"  {library}, {eps_text(first.entry.eps)}")
        for i, budget in enumerate(first.budgets):
            own = [found.get(m.model) for m in models]
            shown = [NONE if q is None else percent(q.asr[i]) for q in own]
            yield names[i] if i < len(names) else "", f"{budget:,}", *shown
