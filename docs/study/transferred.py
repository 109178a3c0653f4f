"""(f): what fools a model that anyone can make of the public backbone, tried on the private adapters."""

from collections.abc import Iterator, Sequence

import numpy as np

from bench.eps import eps_text
from bench.scoring.rescored import share
from bench.scoring.statistics import Row, holm
from docs.study.answer import Answer
from docs.study.found import Difference, Found, of_same_models, tested
from docs.study.tables import WOULD, in_brief, models_table, numbers, percent, seen, table

PUBLIC = "public"
"""What study_transfer calls the model that anyone can make of the backbone."""
HEAD = ["private model", "attacked itself, ASR %", "through the public model, ASR %", "difference [95 %]",
        "broken more often?", WOULD]  # fmt: skip


def transfer(runs: Sequence[Found]) -> Answer:
    """Attack success through the public model minus that of the same attack on the private model itself."""
    lines, short = [], []
    for found in runs:
        rows = []
        for model, direct, through, d in _transfers(found):
            rows.append([model, direct, through, numbers(d), f"**{d.answer}**", seen(d)])
            short.append(
                f"Of what {model} gets right, attacks on the public model break {through} %, attacks on"
                f" itself {direct} %: {in_brief(d)}"
            )
        lines += ["", *models_table(found), "", *table(HEAD, rows)]
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
    differences = [
        of_same_models(np.stack(lost[m, on]), np.stack(lost[m, a]), 0.05 / len(asked)) for m, a, on in asked
    ]
    for (m, a, on), d, p in zip(asked, differences, holm([d.p_value for d in differences]), strict=True):
        where = f"{a} {eps_text(run.headline_eps)}"
        direct, through = (percent(share(lost[m, attack])) for attack in (a, on))
        yield m, direct, through, tested(m, on, "ASR", where, d, p)
