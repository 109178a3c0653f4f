"""The runs of a folder: each suite's models in one ranking, and how each run stands."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bench.comparison.phrases import in_short
from bench.comparison.ranking import RankedRuns, Ranking
from bench.comparison.runs import RunSummary, UnusableRun
from bench.eps import eps_text
from bench.render.fitted import fitted
from bench.render.numbers import csv_row, flat, markdown, percent, rounded
from bench.render.text import markdown_table
from bench.scoring.remarks import trust
from bench.text import NONE

RUNS_VERSION = 3
"""Of what ``bench compare FOLDER --format json`` prints."""
STATUS_STYLE = {"complete": "green", "incomplete": "yellow", "unusable": "bold red"}
MODELS = ("#", "model", "runs", "clean acc. % [95 %]", "robust acc. % [95 %]")
RUNS = ("", "run", "status", "commit", "result")


def runs_table(found: RankedRuns, width: int) -> RenderableType:
    """Each ranking, best first, then all runs, newest first, for a terminal of ``width`` columns."""
    number = _numbers(found)
    parts: list[RenderableType] = []
    for ranking in found.rankings:
        parts.append(
            fitted(_title(ranking), MODELS, _models(ranking, number), width, right=("#", *MODELS[3:]))
        )
        parts += [Text(remark.text) for remark in ranking.remarks]
    rows = [(number[r.path.name], r.path.name, _status(r), *_result(r)) for r in found.runs]
    parts.append(fitted("runs", RUNS, rows, width, right=RUNS[:1]))
    parts += [Text(line, style="yellow" if assumed else "dim") for line, assumed in _said(found).items()]
    return Group(*parts)


def runs_markdown(found: RankedRuns) -> str:
    """As ``runs_table``, in Markdown."""
    number = _numbers(found)
    parts: list[str] = []
    for ranking in found.rankings:
        parts.append(f"**{markdown(_title(ranking))}**\n\n{markdown_table(MODELS, _models(ranking, number))}")
        parts += [f"- {markdown(remark.text)}" for remark in ranking.remarks]
    rows = [[number[r.path.name], r.path.name, str(_status(r)), *_result(r)] for r in found.runs]
    parts.append(markdown_table(RUNS, rows))
    parts.append("\n".join(f"- {markdown(line)}" for line in _said(found)))
    return "\n\n".join(parts).rstrip()


def runs_csv(found: RankedRuns) -> str:
    """A line for each model of each ranking."""
    rows = [row for ranking in found.rankings for row in _csv_rows(ranking)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_row(rounded(row)) for row in rows)
    return out.getvalue().rstrip("\n")


def runs_json(found: RankedRuns) -> str:
    """Everything, as one JSON object."""
    runs = [_unusable_row(run) if isinstance(run, UnusableRun) else _run_row(run) for run in found.runs]
    rankings = [_ranking_row(ranking) for ranking in found.rankings]
    return json.dumps(
        rounded({"schema_version": RUNS_VERSION, "runs": runs, "rankings": rankings}),
        indent=2,
        allow_nan=False,
    )


def _numbers(found: RankedRuns) -> dict[str, str]:
    """What stands for each run's id: its number, from the newest."""
    return {run.path.name: str(i) for i, run in enumerate(found.runs, 1)}


def _title(ranking: Ranking) -> str:
    at, attacks = eps_text(ranking.headline_eps), ", ".join(ranking.attacks)
    return (
        f"{ranking.suite}: robust accuracy of {ranking.samples} samples at eps {at}, worst of"
        f" {attacks or 'no attack yet'}"
    )


def _models(ranking: Ranking, number: dict[str, str]) -> list[list[str]]:
    seeds = len({e.place.model.seed for e in ranking.entrants}) > 1
    return [
        [
            str(e.place.rank or NONE),
            e.place.model.title(seeds=seeds),
            " ".join(number[run] for run in e.runs),
            percent(e.place.accuracy),
            percent(e.place.worst_case, e.place.trust),
        ]
        for e in ranking.entrants
    ]


def _status(run: RunSummary | UnusableRun) -> Text:
    word = "unusable" if isinstance(run, UnusableRun) else run.model_ranking.status
    return Text(word, style=STATUS_STYLE[word])


def _result(run: RunSummary | UnusableRun) -> tuple[str, str]:
    """The commit of the user's repository, or of the code, and how a run stands to its reference.

    For an unusable run, why it is so.
    """
    return (
        ("", run.reason)
        if isinstance(run, UnusableRun)
        else (run.repository or run.commit or NONE, in_short(run.verdict))
    )


def _said(found: RankedRuns) -> dict[str, bool]:
    """What is to be known of the numbers, each line once, and whether it is only assumed.

    That is what is seen, and the trust.
    """
    usable = [run for run in found.runs if isinstance(run, RunSummary)]
    seen = [line for run in usable for i, line in enumerate(run.seen) if i == 0 or line.assumed]
    trusted = [remark.text for run in usable for remark in trust(run.model_ranking.graded)]
    return {**{line.text: line.assumed for line in seen}, **dict.fromkeys(trusted, False)}


def _csv_rows(ranking: Ranking) -> Iterator[dict[str, Any]]:
    for row in _ranking_row(ranking)["models"]:
        shares = {name: row.pop(name) or {} for name in ("accuracy", "worst_case")}
        flat_shares = {
            f"{name}{end}": share.get(key)
            for name, share in shares.items()
            for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        said = {"suite": ranking.suite, "eps": eps_text(ranking.headline_eps), "samples": ranking.samples}
        values = {**said, **row, "runs": " ".join(row["runs"]), **flat_shares}
        yield {name: values[name] for name in CSV_FIELDS}


CSV_FIELDS = (
    "suite", "eps", "samples", "rank", "model", "seed", "accuracy", "accuracy_low", "accuracy_high",
    "worst_case", "worst_case_low", "worst_case_high", "trust", "unranked", "runs",
)  # fmt: skip


def _ranking_row(ranking: Ranking) -> dict[str, Any]:
    return {
        "suite": ranking.suite,
        "headline_eps": eps_text(ranking.headline_eps),
        "samples": ranking.samples,
        "attacks": list(ranking.attacks),
        "models": [{**flat(e.place), "runs": list(e.runs)} for e in ranking.entrants],
    }


def _run_row(run: RunSummary) -> dict[str, Any]:
    model_ranking, verdict = run.model_ranking, run.verdict
    return {
        "suite": model_ranking.suite,
        "run_id": run.path.name,
        "status": model_ranking.status,
        "started": run.started,
        "commit": run.commit,
        "repository": run.repository,
        "headline_eps": eps_text(model_ranking.headline_eps),
        "seen": [vars(line) for line in run.seen],
        "models": [flat(place) for place in model_ranking.places],
        "reference": (
            verdict and {"verdict": verdict.word, "rows": len(verdict.rows), "changed": len(verdict.changes)}
        ),
    }


def _unusable_row(run: UnusableRun) -> dict[str, Any]:
    return {
        "suite": run.path.parent.name,
        "run_id": run.path.name,
        "status": "unusable",
        "reason": run.reason,
    }
