"""Finding runs by what people call them, and the runs of a folder beside each other."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.comparison.compare import compare
from bench.comparison.snapshot import Snapshot, from_file, from_text, snapshot_of
from bench.comparison.verdict import Verdict
from bench.errors import NotComparableError, UserError
from bench.scoring.model_ranking import ModelRanking, rank_models
from bench.scoring.seen import Seen, what_is_seen
from bench.store import (
    RUN_FILE,
    Origin,
    RunHeader,
    StoredRun,
    check_newest,
    list_runs,
    read_header,
    reference_file,
    some_runs,
)

FORMS = "a run's folder or id, a reference file, 'latest', 'reference', or a git revision of the reference"


@dataclass(frozen=True)
class RunSummary:
    """A run of a results folder: place, start, commits that computed it, how it and its models stand.

    ``verdict`` is against the reference of its suite; None where there is none. ``seen`` says what its models
    see. ``repository`` is the commit of the user's own repository that it was run in, with a + where that had
    uncommitted changes.
    """

    path: Path
    started: str
    commit: str
    model_ranking: ModelRanking
    verdict: Verdict | None
    seen: tuple[Seen, ...] = ()
    repository: str | None = None

    @property
    def is_complete(self) -> bool:
        """Every cell has numbers."""
        return self.model_ranking.status == "complete"


@dataclass(frozen=True)
class UnusableRun:
    """A run of a results folder of which nothing can be said, and why."""

    path: Path
    reason: str
    is_complete = False


def summaries(folder: Path) -> list[RunSummary | UnusableRun]:
    """Every run under ``folder``, newest first. Raises UserError if there is none."""
    reference = cache(from_file)
    return [_summary_or_reason(path, reference) for path in some_runs(folder)]


def _summary_or_reason(path: Path, read_reference: Callable[[Path], Snapshot]) -> RunSummary | UnusableRun:
    try:
        return _summary_of(StoredRun(path), read_reference)
    except UserError as error:
        return UnusableRun(path, str(error))


def _summary_of(run: StoredRun, read_reference: Callable[[Path], Snapshot]) -> RunSummary:
    started = str(run.header.provenance.get("started", ""))
    model_ranking = rank_models(run)
    verdict, seen = _against_reference(run, model_ranking, read_reference), what_is_seen(run.header)
    own = run.header.provenance.get("repository")
    return RunSummary(
        run.path, started, _commits(run.header), model_ranking, verdict, seen, _commit(own) if own else None
    )


def _commits(header: RunHeader) -> str:
    """Those that the cells of a run were computed by, with a + where there were uncommitted changes."""
    origins = [
        header.origin(name)
        for name in dict.fromkeys(cell.origin for cell in header.cells if cell.status == "ok")
    ]
    return ", ".join(dict.fromkeys("unknown" if origin is None else _commit(origin) for origin in origins))


def _commit(origin: Origin) -> str:
    return f"{str(origin.get('commit') or '')[:8]}{'+' if origin.get('dirty') else ''}"


def against_reference(run: StoredRun) -> Verdict | None:
    """The gate's verdict of ``run`` against its suite's reference in the same results folder.

    None if there is none.
    """
    return _against_reference(run, rank_models(run), from_file)


def _against_reference(
    run: StoredRun, model_ranking: ModelRanking, read_reference: Callable[[Path], Snapshot]
) -> Verdict | None:
    file = reference_file(run.path.parent.parent, run.header.suite_name)
    return (
        compare(read_reference(file), snapshot_of(run, model_ranking), gated=True) if file.is_file() else None
    )


def find_pair(before: str, after: str, results: Path, *, gated: bool = False) -> tuple[Snapshot, Snapshot]:
    """The runs that two names mean; a reference is that of the other's suite.

    Raises UserError if one means nothing, NotComparableError if it is missing, broken or of a newer version,
    or, where they are ``gated``, if a name means the newest run and a newer ``bench run`` failed.
    """
    first, second = (_find_run(name, results, gated=gated) for name in (before, after))
    suite = next((s.header.suite_name for s in (second, first) if s), None) or _only_suite(results)
    return first or _find_reference(before, results, suite), second or _find_reference(after, results, suite)


def find_stored(name: str, results: Path) -> StoredRun:
    """The stored run that ``name`` means: its folder, its id, or "latest".

    Raises UserError if there is none.
    """
    path = latest(results) if name == "latest" else _stored(name, results)
    if path is None:
        raise UserError(f"{name}: no such run; give its folder, its id under {results}, or 'latest'")
    return StoredRun(path)


def latest(folder: Path) -> Path:
    """The run under ``folder`` that was started last: a run that was taken up again counts as new.

    Raises NotComparableError if a newer one cannot be read: what is asked for is not the one before it.
    """
    started: dict[Path, str] = {}
    unusable: dict[Path, UserError] = {}
    for path in some_runs(folder):
        try:
            started[path] = str(read_header(path / RUN_FILE).provenance.get("started", ""))
        except UserError as error:
            unusable[path] = error
    newest = max(started or unusable, key=lambda path: (started.get(path, ""), path.name))
    since = max(newest.name, _stamp(started.get(newest, "")))
    for path, reason in unusable.items():
        if path.name >= since:
            raise NotComparableError(f"the latest run is unusable: {reason}")
    return newest


def _stamp(started: str) -> str:
    """``started`` as the names of runs begin."""
    return started[:19].replace("-", "").replace(":", "")


def _find_run(name: str, results: Path, *, gated: bool) -> Snapshot | None:
    """The snapshot of a stored run or a reference's file; None if ``name`` is neither."""
    if Path(name).is_file():
        return from_file(Path(name))
    path = latest(results) if name == "latest" else _stored(name, results)
    if gated and path is not None and name != path.name and not _is_same(Path(name), path):
        check_newest(path, of_all=name == "latest" or _is_same(Path(name), path.parent.parent))
    return snapshot_of(StoredRun(path)) if path else None


def _is_same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()


def _stored(name: str, results: Path) -> Path | None:
    if Path(name).is_dir():
        _refuse_several_suites(Path(name))
        return latest(Path(name))
    return next((run for run in list_runs(results) if run.name == name), None)


def _refuse_several_suites(folder: Path) -> None:
    suites = sorted({run.parent.name for run in list_runs(folder)})
    if len(suites) > 1:
        raise UserError(
            f"{folder}: holds runs of several suites; give one of"
            f" {', '.join(str(folder / s) for s in suites)}"
        )


def _find_reference(name: str, results: Path, suite: str) -> Snapshot:
    file = reference_file(results, suite)
    if name == "reference":
        if not file.is_file():
            raise NotComparableError(
                f"{suite} has no reference ({file} is missing); `bench reference update RUN` makes one"
            )
        return from_file(file)
    if re.fullmatch(r"[A-Za-z0-9][\w./@{}^~-]*", name) is None:
        raise UserError(f"{name}: does not name a run; give {FORMS}")
    return from_text(_at_revision(name, file), f"{name}:{file.name}")


def _at_revision(revision: str, file: Path) -> bytes:
    """The content of ``file`` as git has it at ``revision``."""
    try:
        done = subprocess.run(
            ["git", "show", f"{revision}:./{file.parent.name}/{file.name}"],
            cwd=file.parent.parent, capture_output=True, check=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        raise UserError(
            f"{revision}: does not name a run, and git has no {file} there; give {FORMS}"
        ) from None
    return done.stdout


def _only_suite(results: Path) -> str:
    """The suite of two references where neither name tells it: the only one that there is."""
    found = sorted(file.stem for file in (results / "reference").glob("*.json"))
    if len(found) != 1:
        there = f"{results}/reference holds {', '.join(found) or 'none'}"
        raise UserError(f"neither name is a run, and as references they need a suite ({there}); give {FORMS}")
    return found[0]
