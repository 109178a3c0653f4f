"""The committed reference of a suite: made from a run on purpose, never by the way."""

from pathlib import Path

from bench.comparison.compare import compare
from bench.comparison.snapshot import Snapshot, from_file, snapshot_of, to_text
from bench.comparison.verdict import Verdict
from bench.errors import UserError
from bench.store import StoredRun, reference_file, software, write_reference


def preview(run: StoredRun, results: Path) -> tuple[Snapshot, Verdict | None]:
    """What would become the reference, and how it differs from the present one (None if there is none).

    Raises UserError if ``run`` has a cell without numbers.
    """
    snapshot = snapshot_of(run)
    lacking = [c for c in snapshot.header.cells if c.status != "ok"]
    if lacking or not snapshot.header.cells:
        what = (
            f"{len(lacking)} cells have no numbers, first {lacking[0].model}/{lacking[0].attack}"
            if lacking
            else "no cells"
        )
        raise UserError(f"{run.path.name} cannot be a reference: {what}; run the suite to its end")
    file = reference_file(results, run.header.suite_name)
    return snapshot, compare(from_file(file), snapshot) if file.is_file() else None


def _objection(snapshot: Snapshot) -> str | None:
    """Why no commit gives the numbers of ``snapshot``."""
    origins = [snapshot.header.origin(cell.origin) or {} for cell in snapshot.header.cells]
    unknown = sum(origin.get("code") is None for origin in origins)
    if unknown:
        return f"has {unknown} cells whose code is not recorded"
    if any(origin.get("dirty") for origin in origins):
        return "was made from uncommitted changes"
    made_by = {software(origin) for origin in origins}
    return f"has cells of {len(made_by)} states of code and packages" if len(made_by) > 1 else None


def check(snapshot: Snapshot, *, force: bool) -> None:
    """Raise UserError if cells of ``snapshot`` are of uncommitted, different or unknown code.

    With ``force``, they may be.
    """
    objection = _objection(snapshot)
    if objection and not force:
        raise UserError(
            f"{snapshot.title} {objection}, so it cannot be reproduced; commit, run with --fresh, or --force"
        )


def update(snapshot: Snapshot, results: Path) -> Path:
    """Make ``snapshot``, which has been checked, the reference of its suite and return the file."""
    return write_reference(results, snapshot.header.suite_name, to_text(snapshot))
