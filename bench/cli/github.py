"""What GitHub Actions shows of a comparison: the job's summary, and annotations for the worst cells."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.comparison.phrases import NOT_IN_REFERENCE, explain, headline
from bench.comparison.verdict import Verdict
from bench.render.verdict_text import verdict_markdown

log = logging.getLogger(__name__)

SUMMARY_BYTES = 1024 * 1024
"""GitHub drops a step's whole summary that is larger."""
ANNOTATIONS = 10
"""GitHub shows so many errors of a step."""
CUT = "\n\n*cut here: the summary is larger than GitHub takes; see `bench compare --format json`*\n"


def write_summary(verdict: Verdict, environment: Mapping[str, str] = os.environ) -> None:
    """Append the Markdown to $GITHUB_STEP_SUMMARY, if that is set.

    Where it cannot be written, a warning says so.
    """
    target = environment.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    file = Path(target)
    try:
        taken = file.stat().st_size if file.exists() else 0
        with file.open("a", encoding="utf-8") as summary:
            summary.write(_fit(verdict_markdown(verdict) + "\n\n", SUMMARY_BYTES - taken))
    except OSError as error:
        log.warning(
            "GITHUB_STEP_SUMMARY=%s: cannot be written: %s; the verdict stands", target, error.strerror
        )


def _fit(text: str, room: int) -> str:
    """``text``, cut at a line's end if it takes more than ``room`` bytes."""
    data = text.encode()
    if len(data) <= room:
        return text
    kept = data[: max(0, room - len(CUT.encode()))]
    return kept[: kept.rfind(b"\n") + 1].decode() + CUT if kept else ""


def annotations(verdict: Verdict) -> Iterator[str]:
    """Workflow commands: the verdict, then the cells without numbers and those that moved most."""
    if verdict.exit_code == 0:
        return
    yield _command(f"{verdict.suite}", headline(verdict))
    problems = [(p.cell, p.reason) for p in (*verdict.errors, *verdict.missing, *verdict.not_comparable)]
    problems += [(cell, NOT_IN_REFERENCE) for cell in verdict.new if verdict.gated]
    worst = sorted(verdict.failures, key=lambda row: -abs(row.difference))
    found = [(row.cell, explain(row)) for row in worst] + problems
    for cell, text in found[: ANNOTATIONS - 1]:
        yield _command(str(cell), text)


def _command(title: str, message: str) -> str:
    return f"::error title={_escape(title, property_=True)}::{_escape(message)}"


def _escape(text: str, *, property_: bool = False) -> str:
    """As GitHub's runner reads workflow commands: percent-encoded where a character would end them."""
    marks = "%\r\n:," if property_ else "%\r\n"
    return "".join(f"%{ord(c):02X}" if c in marks else c for c in text)
