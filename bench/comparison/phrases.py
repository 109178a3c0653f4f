"""A verdict in words, the same in every format."""

from collections.abc import Iterator, Sequence

from bench.comparison.verdict import Problem, Row, Verdict
from bench.text import MARKS, first_line, points, share, short_p

NOT_IN_REFERENCE = "it is not in the reference, so no gate watches it; `bench reference update RUN` adds it"
LISTED = 10
"""Cells named where a list could have hundreds; the JSON has all."""


def headline(verdict: Verdict) -> str:
    """The verdict, and the counts that it rests on."""
    counts = f"{len(verdict.rows)} rows compared, {len(verdict.changes)} changed"
    if verdict.gated:
        counts += f", {len(verdict.failures)} beyond the gate"
    return f"{'gate: ' if verdict.gated else ''}{verdict.word.upper()} ({counts})"


def in_short(verdict: Verdict | None) -> str:
    """How a run stands to its reference, for a line of a listing."""
    if verdict is None:
        return "compared with nothing: its suite has no reference"
    return (
        f"against the reference: {verdict.word}, {len(verdict.changes)} of {len(verdict.rows)} rows changed"
    )


def details(verdict: Verdict) -> Iterator[str]:
    """What to know beside the rows: how they were judged, what is missing or new, and why numbers moved."""
    yield _method(verdict)
    for cause, rows in verdict.causes.items():
        yield f"why: {cause} [{rows} {'row' if rows == 1 else 'rows'}]"
    for cause in verdict.drifts:
        if cause not in verdict.causes:
            unshown = verdict.rows and cause.kind != "gate"
            doubt = "; no change by it is shown, which does not prove that there is none" if unshown else ""
            yield f"differs: {cause}{doubt}"
    distrusted = [str(row.cell) for row in verdict.rows if row.trust == "fail"]
    if distrusted:
        yield f"trust: {_some(distrusted)}: fails its checks in the second run ({MARKS['fail']})"
    yield from _listing("missing", verdict.missing)
    yield from _listing("error", verdict.errors)
    yield from _listing("not comparable", verdict.not_comparable)
    if verdict.new:
        yield (
            "new:"
            f" {_some([str(cell) for cell in verdict.new])}{f': {NOT_IN_REFERENCE}' if verdict.gated else ''}"
        )


def explain(row: Row) -> str:
    """One row as a sentence."""
    p = "exact" if row.p_adjusted is None else f"p {_compared(short_p(row.p_adjusted))} after Holm"
    moved = f"{row.metric} {share(row.before)} % -> {share(row.after)} % ({points(row.difference)} points"
    why = "".join(f"; {cause}" for cause in row.causes)
    return f"{moved}, flips +{row.gained}/-{row.lost} of {row.n}, {p}){why}"


def _compared(p: str) -> str:
    return p.replace("<", "< ") if p.startswith("<") else f"= {p}"


def _method(verdict: Verdict) -> str:
    copied = sum(row.copied for row in verdict.rows)
    exact = sum(row.exact and not row.copied for row in verdict.rows)
    tested = [row for row in verdict.rows if not row.exact]
    parts = (
        [f"{copied} rows taken over from the run that they are compared with: nothing was recomputed"]
        if copied
        else []
    )
    parts += [f"{exact} rows exact: all but the code is equal, so every flip is a change"] if exact else []
    parts += [_power(tested)] if tested else []
    stuck = sum(row.metric == "asr" and not row.can_fall for row in tested)
    if verdict.gated and stuck:
        parts.append(
            f"{stuck} of these could not have failed by falling: before, too few of their samples were broken"
        )
    return "; ".join(parts) or "nothing was compared"


def _power(rows: Sequence[Row]) -> str:
    """What it takes to show a change in ``rows``, which are tested."""
    least = " or ".join(f"{100 * effect:g}" for effect in sorted({row.limits.min_effect for row in rows}))
    vanishing = " or three quarters of an ASR" if any(row.limits.floor for row in rows) else ""
    worst = max(rows, key=lambda row: row.needed / row.n)
    return (
        f"{len(rows)} rows paired: exact McNemar with Holm; a change is at least {least} points{vanishing},"
        f" and takes {worst.needed} flips one way, {100 * worst.needed / worst.n:.0f} points of {worst.n}"
        " samples"
    )


def _listing(word: str, problems: Sequence[Problem]) -> Iterator[str]:
    """Problems with the same reason on one line."""
    for reason in dict.fromkeys(p.reason for p in problems):
        yield f"{word}: {_some([str(p.cell) for p in problems if p.reason == reason])}: {first_line(reason)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
