"""Finding runs by what people call them, and the runs of a folder beside each other."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.compare import compare
from bench.errors import NotComparableError, UserError
from bench.scoring.standing import Standing, stand
from bench.snapshot import Snapshot, from_file, from_text, snapshot_of
from bench.store import Origin, RunHeader, StoredRun, iterate, list_runs, reference_file
from bench.verdict import Verdict

FORMS = "a run's folder or id, a reference file, 'latest', 'reference', or a git revision of the reference"


@dataclass(frozen=True)
class RunSummary:
    """A run of a results folder: its place, when it started, what commits computed it, and how it and its models stand.

    ``verdict`` is against the reference of its suite; None where there is none.
    """

    path: Path
    started: str
    commit: str
    standing: Standing
    verdict: Verdict | None


def summaries(folder: Path) -> list[RunSummary]:
    """Every run under ``folder``, newest first. Raises UserError if there is none."""
    reference = cache(from_file)
    return [_summary_of(run, reference) for run in iterate(folder)]


def _summary_of(run: StoredRun, read_reference: Callable[[Path], Snapshot]) -> RunSummary:
    started = str(run.header.provenance["started"])
    return RunSummary(run.path, started, _commits(run.header), stand(run), against_reference(run, read_reference))


def _commits(header: RunHeader) -> str:
    """Those that the cells of a run were computed by, with a + where there were uncommitted changes."""
    origins = [header.origin(name) for name in dict.fromkeys(cell.origin for cell in header.cells if cell.status == "ok")]
    return ", ".join(dict.fromkeys("unknown" if origin is None else _commit(origin) for origin in origins))


def _commit(origin: Origin) -> str:
    return f"{str(origin['commit'] or '')[:8]}{'+' if origin['dirty'] else ''}"


def against_reference(run: StoredRun, read_reference: Callable[[Path], Snapshot] = from_file) -> Verdict | None:
    """The gate's verdict of ``run`` against its suite's reference in the same results folder; None if there is none."""
    file = reference_file(run.path.parent.parent, run.header.suite_name)
    return compare(read_reference(file), snapshot_of(run), gated=True) if file.is_file() else None


def find_pair(before: str, after: str, results: Path) -> tuple[Snapshot, Snapshot]:
    """The runs that two names mean; a reference is that of the other's suite.

    Raises UserError if one means nothing, NotComparableError if it is missing, broken or of a newer version.
    """
    first, second = _find_run(before, results), _find_run(after, results)
    suite = next((s.header.suite_name for s in (second, first) if s), None) or _only_suite(results)
    return first or _find_reference(before, results, suite), second or _find_reference(after, results, suite)


def find_stored(name: str, results: Path) -> StoredRun:
    """The stored run that ``name`` means: its folder, its id, or "latest". Raises UserError if there is none."""
    path = latest(results) if name == "latest" else _stored(name, results)
    if path is None:
        raise UserError(f"{name}: no such run; give its folder, its id under {results}, or 'latest'")
    return StoredRun(path)


def latest(folder: Path) -> Path:
    """The run under ``folder`` that was started last: a run that was taken up again counts as new."""
    started = {run.path: str(run.header.provenance["started"]) for run in iterate(folder)}
    return max(started, key=lambda path: (started[path], path.name))


def _find_run(name: str, results: Path) -> Snapshot | None:
    """The snapshot of a stored run or a reference's file; None if ``name`` is neither."""
    if Path(name).is_file():
        return from_file(Path(name))
    path = latest(results) if name == "latest" else _stored(name, results)
    return snapshot_of(StoredRun(path)) if path else None


def _stored(name: str, results: Path) -> Path | None:
    if Path(name).is_dir():
        _refuse_several_suites(Path(name))
        return latest(Path(name))
    return next((run for run in list_runs(results) if run.name == name), None)


def _refuse_several_suites(folder: Path) -> None:
    suites = sorted({run.parent.name for run in list_runs(folder)})
    if len(suites) > 1:
        raise UserError(f"{folder}: holds runs of several suites; give one of {', '.join(str(folder / s) for s in suites)}")


def _find_reference(name: str, results: Path, suite: str) -> Snapshot:
    file = reference_file(results, suite)
    if name == "reference":
        if not file.is_file():
            raise NotComparableError(f"{suite} has no reference ({file} is missing); `bench reference update RUN` makes one")
        return from_file(file)
    if re.fullmatch(r"[A-Za-z0-9][\w./@{}^~-]*", name) is None:
        raise UserError(f"{name}: means no run; give {FORMS}")
    return from_text(_at_revision(name, file), f"{name}:{file.name}")


def _at_revision(revision: str, file: Path) -> str:
    """The text of ``file`` as git has it at ``revision``."""
    try:
        done = subprocess.run(
            ["git", "show", f"{revision}:./{file.parent.name}/{file.name}"],
            cwd=file.parent.parent, capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        raise UserError(f"{revision}: means no run, and git has no {file} there; give {FORMS}") from None
    return done.stdout


def _only_suite(results: Path) -> str:
    """The suite of two references where neither name tells it: the only one that there is."""
    found = sorted(file.stem for file in (results / "reference").glob("*.json"))
    if len(found) != 1:
        raise UserError(f"which suite? {results}/reference has {', '.join(found) or 'none'}; give the path of one file")
    return found[0]
