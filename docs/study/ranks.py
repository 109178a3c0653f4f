"""(b): LoRA's rank, and the layers that it stands on."""

import re
from collections.abc import Sequence

from docs.study.answer import Answer
from docs.study.found import Difference, Found, differences
from docs.study.tables import answers_table, in_words, models_table, span_seen

RANKED = re.compile(r"(?P<layers>.+)-r(?P<rank>\d+)")
CAP = (
    "No model is right under attack more often than without one: where clean accuracies are apart, so are"
    " these"
)


def ranks_and_layers(runs: Sequence[Found]) -> Answer:
    """Pairs that differ in their rank alone, and pairs that differ in their layers alone."""
    lines, short = [], []
    for found in runs:
        worst = [d for d in differences(found.scored) if d.quantity == "robust accuracy"]
        rank, layers = ([d for d in worst if _differ(d) == what] for what in ("rank", "layers"))
        lines += ["", *models_table(found), "", *answers_table([*rank, *layers])]
        short.append(f"{_count('rank', rank)}. {_count('layers', layers)}. {CAP}")
    return Answer(". ".join(short), lines)


def _differ(d: Difference) -> str:
    one, other = RANKED.fullmatch(d.model), RANKED.fullmatch(d.baseline)
    if one is None or other is None:
        return ""
    if one["layers"] == other["layers"]:
        return "rank"
    return "layers" if one["rank"] == other["rank"] else ""


def _count(what: str, pairs: Sequence[Difference]) -> str:
    """How many are shown to differ, and these; where none is, all of them with what would have been seen."""
    shown = [d for d in pairs if d.shown]
    count = (
        f"Of {len(pairs)} pairs that differ in {what} alone, {len(shown)} are shown to differ in robust"
        " accuracy"
    )
    null = [d for d in pairs if not d.shown] if shown else []
    more = f"; of the others, {span_seen(null)} would have been seen" if null else ""
    return f"{count}: {'; '.join(map(in_words, shown or pairs))}{more}"
