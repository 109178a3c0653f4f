"""Verdict -> JSON, CSV and Markdown."""

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from bench.comparison.phrases import details, headline
from bench.comparison.verdict import Problem, Row, Verdict
from bench.ids import RowId
from bench.render.numbers import GLYPHS, VERDICT_VERSION, csv_row, flat, rounded
from bench.text import MARKS, points, share, short_p

IDENTITY = ("model", "seed", "attack", "library", "norm", "eps")
FIELDS = (
    *IDENTITY, "metric", "outcome", "n", "before", "after", "difference", "gained",
    "lost", "p_value", "p_adjusted", "exact", "min_effect", "alpha", "trust",
)  # fmt: skip


def verdict_json(verdict: Verdict) -> str:
    """``verdict`` as one JSON object, as documented in the README."""
    data = {
        "schema_version": VERDICT_VERSION,
        "verdict": verdict.word,
        "exit_code": int(verdict.exit_code),
        "suite": verdict.suite,
        "before": verdict.before,
        "after": verdict.after,
        "gate": verdict.gate.model_dump(mode="json") if verdict.gated else None,
        "rows": [_row_with_reasons(row, verdict) for row in verdict.rows],
        "missing": [_problem(p) for p in verdict.missing],
        "errors": [_problem(p) for p in verdict.errors],
        "not_comparable": [_problem(p) for p in verdict.not_comparable],
        "new": [_identity(cell) for cell in verdict.new],
        "causes": [{"kind": c.kind, "text": c.text, "rows": n} for c, n in verdict.causes.items()],
        "drifts": [asdict(cause) for cause in verdict.drifts],
    }
    return json.dumps(data, indent=2, allow_nan=False)


def verdict_csv(verdict: Verdict) -> str:
    """One line per row of ``verdict``; cells without a comparison follow with their reason as outcome."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_row(_row(row, verdict)) for row in verdict.rows)
    for word, problems in (
        ("missing", verdict.missing), ("error", verdict.errors), ("not comparable", verdict.not_comparable)
    ):  # fmt: skip
        writer.writerows(csv_row({**_identity(p.cell), "outcome": f"{word}: {p.reason}"}) for p in problems)
    writer.writerows(csv_row({**_identity(cell), "outcome": "new"}) for cell in verdict.new)
    return out.getvalue().rstrip("\n")


def verdict_markdown(verdict: Verdict, *, every_row: bool = False) -> str:
    """``verdict`` for a pull request or a job's summary."""
    rows = verdict.rows if every_row else verdict.changes
    parts = [
        f"### {_escape(verdict.suite)}: {headline(verdict)}",
        f"{_code(verdict.before)} → {_code(verdict.after)}",
    ]
    if rows:
        parts.append("\n".join(_markdown_table(rows, verdict)))
    parts.append("\n".join(f"- {_escape(line)}" for line in details(verdict)))
    return "\n\n".join(parts)


def _markdown_table(rows: tuple[Row, ...], verdict: Verdict) -> list[str]:
    head = ("", "cell", "metric", "n", "before %", "after %", "points", "flips", "p", "p Holm")
    lines = [head, ("---",) * 3 + ("---:",) * 7]
    for row in rows:
        lines.append(
            (
                GLYPHS[row.outcome(gated=verdict.gated)][0],
                _escape(str(row.cell)),
                row.metric,
                str(row.n),
                share(row.before),
                share(row.after) + MARKS[row.trust or "pass"],
                points(row.difference) if row.changed else "~",
                f"+{row.gained}/-{row.lost}",
                short_p(row.p_value),
                "exact" if row.p_adjusted is None else short_p(row.p_adjusted),
            )
        )
    return ["| " + " | ".join(line) + " |" for line in lines]


def _row(row: Row, verdict: Verdict) -> dict[str, Any]:
    values = {
        **_identity(row.cell),
        **{name: getattr(row, name) for name in FIELDS if hasattr(row, name) and name != "outcome"},
        "outcome": row.outcome(gated=verdict.gated),
        "min_effect": row.limits.min_effect,
        "alpha": row.limits.alpha,
    }
    return {name: rounded(values[name]) for name in FIELDS}


def _row_with_reasons(row: Row, verdict: Verdict) -> dict[str, Any]:
    reasons = {
        "causes": [asdict(cause) for cause in row.causes],
        "flips": [asdict(flip) for flip in row.flips],
    }
    return _row(row, verdict) | reasons


def _identity(row: RowId) -> dict[str, Any]:
    """What ``row`` is about; a clean accuracy has no attack."""
    return dict.fromkeys(IDENTITY) | flat(row)


def _problem(problem: Problem) -> dict[str, Any]:
    return {**_identity(problem.cell), "reason": problem.reason}


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', '').split())}`"


def _escape(text: str) -> str:
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
