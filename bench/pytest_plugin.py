"""``pytest results/`` is a gate: one item per cell of each suite's newest run, compared with the reference.

pytest finds this plugin by its entry point. An ordinary session only pays for a look at each file's name:
nothing of the project is imported before a run is found.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bench.comparison.verdict import Verdict


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "RunFile | None":
    """Collect each ``run.json``."""
    if file_path.name != "run.json" or not _is_run(file_path):
        return None
    run: RunFile = RunFile.from_parent(parent, path=file_path)
    return run


def _is_run(file: Path) -> bool:
    """Whether ``file`` is ours: other programs have a run.json too.

    A broken one is, where cells lie beside it.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return (file.parent / "cells").is_dir()
    return isinstance(fields, dict) and {"schema_version", "suite_name", "fingerprint"} <= set(fields)


class RunFile(pytest.File):
    """A stored run."""

    def collect(self) -> Iterable["CellItem"]:
        """One item per row of the verdict and per cell without a comparison.

        There is one that fails if there cannot be a verdict, and none if a suite's newer run stands for it,
        and it is not named on the command line.
        """
        from bench.comparison.runs import latest
        from bench.errors import UserError

        folder = self.path.parent
        try:
            if not self.session.isinitpath(self.path) and latest(folder.parent) != folder:
                return
            found = list(_outcomes(self._verdict()))
        except UserError as error:
            found = [("comparison", str(error))]
        for name, reason in found or [("cells", "no cell could be compared")]:
            yield CellItem.from_parent(self, name=name, reason=reason)

    def _verdict(self) -> "Verdict":
        from bench.comparison.compare import compare
        from bench.comparison.runs import find_pair
        from bench.store import check_newest

        folder = self.path.parent
        if not self.session.isinitpath(self.path):
            check_newest(folder, of_all=False)
        return compare(*find_pair("reference", str(folder), folder.parent.parent), gated=True)


def _outcomes(verdict: "Verdict") -> Iterator[tuple[str, str | None]]:
    """(cell, why it fails or None)."""
    from bench.comparison.phrases import NOT_IN_REFERENCE, explain

    for row in verdict.judged:
        yield str(row.cell), explain(row) if row.fails else None
    problems = {"missing": verdict.missing, "error": verdict.errors, "not comparable": verdict.not_comparable}
    for word, found in problems.items():
        for problem in found:
            yield str(problem.cell), f"{word}: {problem.reason}"
    for cell in verdict.new:
        yield str(cell), f"new: {NOT_IN_REFERENCE}"


class CellItem(pytest.Item):
    """One cell, which fails with ``reason``."""

    def __init__(self, *, reason: str | None, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.reason = reason

    def runtest(self) -> None:
        """Fail if the gate stops this cell or it has no comparison."""
        if self.reason is not None:
            pytest.fail(self.reason, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the cell is from."""
        return self.path, None, self.name
