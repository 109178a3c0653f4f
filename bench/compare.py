"""Runs beside each other."""

from dataclasses import dataclass
from pathlib import Path

from bench.scoring.scorecard import Scorecard, score
from bench.store import iterate


@dataclass(frozen=True)
class RunSummary:
    """A run of a results folder: its place, when it started, on what commit, and its scorecard."""

    path: Path
    started: str
    commit: str
    card: Scorecard


def summaries(folder: Path) -> list[RunSummary]:
    """Every run under ``folder``, newest first. Raises UserError if there is none."""
    return [_summary_of(run.path, run.header.provenance, score(run)) for run in iterate(folder)]


def _summary_of(path: Path, provenance: dict[str, object], card: Scorecard) -> RunSummary:
    commit = f"{str(provenance['commit'] or '')[:8]}{'+' if provenance['dirty'] else ''}"
    return RunSummary(path, str(provenance["started"]), commit, card)
