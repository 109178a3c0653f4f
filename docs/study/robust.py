"""(e): what adapters keep of a robust backbone, and what adversarial training gives them."""

from collections.abc import Sequence

from bench.ids import ModelId
from bench.scoring.comparison import WORST_CASE, Outcome
from bench.scoring.robust_training import Answer as RobustAnswer
from bench.scoring.robust_training import answers
from bench.text import interval, points
from docs.study.answer import NOTHING, Answer, several
from docs.study.found import Found
from docs.study.tables import models_table


def robust_training(runs: Sequence[Found]) -> Answer:
    """The questions that a run's own report answers, each in a sentence."""
    lines: list[str] = []
    short: dict[str, list[str]] = {}
    for found in runs:
        said = answers(found.published, _ranked(found))
        lines += ["", f"### {found.name}", "", *models_table(found), ""]
        for question in dict.fromkeys(a.question for a in said):
            own = [a for a in said if a.question == question]
            lines += [f"*{question}*", "", *(f"- {a.text}" for a in own), ""]
            if found in several(runs):
                short.setdefault(question, []).extend(map(_verdict, own))
    sentences = [f"*{question}* {'; '.join(verdicts)}" for question, verdicts in short.items()]
    return Answer(". ".join(sentences) or NOTHING, lines)


def _verdict(answer: RobustAnswer) -> str:
    """What is said of a model, and the differences that it rests on: of robust accuracy, unless said."""
    rests = ", ".join(
        f"{d.quantity.removeprefix('robust accuracy')} {points(d.difference)} points".lstrip()
        + f" {interval(d.low, d.high)} against {d.against}"
        for d in answer.differences
    )
    return f"{answer.model}: {answer.text.rpartition(': ')[2]} ({rests})".replace(") (", "; ")


def _ranked(found: Found) -> dict[ModelId, Outcome]:
    run = found.published
    models = {m.id: m for m in run.models}
    return {c.id: run.outcome(models[c.id], c) for c in run.cells if c.attack == WORST_CASE and c.sound}
