"""(a): full fine-tuning, LoRA-FC and LoRA-FC+Conv1: which is more robust, which more certain."""

from collections.abc import Sequence

from docs.study.answer import NOTHING, Answer
from docs.study.found import Difference, Found, differences
from docs.study.tables import answers_table, in_brief, models_table


def three_ways(runs: Sequence[Found]) -> Answer:
    """Each model against the first in all that was compared, and the two adapters against each other."""
    lines, short = [], []
    for found in runs:
        baseline = found.scored.baseline
        asked = [
            d for d in differences(found.scored) if d.baseline == baseline or d.quantity == "robust accuracy"
        ]
        lines += ["", f"### {found.name}", "", *models_table(found, beside_the_study=True), ""]
        lines += [f"![Attack success and certainty over eps]({found.name}.svg)", ""]
        lines += answers_table(asked)
        against = [d for d in asked if d.baseline == baseline]
        said = [_said(model, against) for model in dict.fromkeys(d.model for d in against)]
        short.append(f"{found.name}, against {baseline}: {'; '.join(said) or NOTHING.lower()}")
    return Answer(". ".join(short), lines)


def _said(model: str, asked: Sequence[Difference]) -> str:
    """How robust ``model`` is in the worst case, and how certain before the attack."""
    own = [d for d in asked if d.model == model]
    robust = [d for d in own if d.quantity == "robust accuracy"]
    certain = [d for d in own if d.quantity == "certainty" and d.where == "clean"]
    return f"{model} {', '.join(map(in_brief, [*robust, *certain]))}"
