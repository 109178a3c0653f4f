"""A stored run, made again from what it stored, and compared cell by cell."""

import tempfile
from pathlib import Path

from pydantic import ValidationError

from bench.api.pipeline import run_suite
from bench.comparison.reproduction import Reproduction, compare
from bench.engine.options import Options
from bench.engine.progress import Progress
from bench.errors import SuiteError, UserError, dotted
from bench.store import FOLDER, StoredRun
from bench.suite.permission import permitted
from bench.suite.suite import Suite


def reproduce(
    old: StoredRun,
    device: str,
    progress: Progress,
    data_root: Path | None = None,
    *,
    allow_code: bool = False,
) -> Reproduction:
    """Run the suite stored in ``old`` again, every cell anew, and compare; the suite's file is not asked.

    Trained models come from the cache; those that are not there are trained again from the stored recipe.
    Raises UserError if this version cannot run the suite.
    """
    try:
        suite = Suite.model_validate(old.header.suite)
    except ValidationError as error:
        raise UserError(
            f"{old.path}: its suite cannot be run by this version: {error.errors()[0]['msg']}"
        ) from None
    near = Path(str(old.header.provenance.get(FOLDER, ""))), Path()
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as folder:
        permission = permitted(allow_code=allow_code)
        how = Options(Path(folder), device, fresh=True, data_root=data_root, near=near, permission=permission)
        try:
            new = StoredRun(run_suite(suite, how, progress).path)
        except SuiteError as error:
            raise UserError(
                f"{old.path}: its suite asks for what is not available: {dotted(error.where)}: {error}"
            ) from None
        return compare(old, new)
