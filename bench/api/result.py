"""A stored run as Python has it: data frames, pictures and files."""

import io
from collections.abc import Iterable
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.eps import eps_text
from bench.errors import UserError
from bench.store import CellEntry, StoredRun

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

    from bench.scoring.scorecard import Scorecard

WIDTH = 100
"""Columns of the leaderboard where it is shown outside a terminal."""


class Result:
    """A run that is stored in the folder ``path``; ``stored`` where it has been opened already.

    Shares (accuracies, success rates, certainties) are from 0 to 1, and columns have the names of ``--format
    json``. In each frame ``eps`` is text as the suite has it ("8/255"), and ``eps_value`` the number.

    After the example of ``bench.run``:

    >>> table = result.cells.groupby(["eps", "model"])["asr"].max().unstack()  # through the stronger library
    >>> table.shape, sorted(table.columns)  # one eps, two models
    ((1, 2), ['full', 'lora'])
    """

    def __init__(self, path: Path, stored: StoredRun | None = None) -> None:
        self.path = path
        self._stored = stored

    @cached_property
    def run(self) -> StoredRun:
        """The stored run: its header, and each cell's records."""
        return self._stored or StoredRun(self.path)

    @cached_property
    def card(self) -> "Scorecard":
        """Everything that tables and reports show: ranks, intervals, comparisons, cross-checks, trust."""
        from bench.scoring.score import score

        return score(self.run)

    @property
    def is_complete(self) -> bool:
        """Every cell that the suite asks for has numbers."""
        return self.card.status == "complete"

    @cached_property
    def leaderboard(self) -> "DataFrame":
        """One row per model, best first: rank, accuracy, worst case, certainty, trust.

        The worst case is at the headline eps, with its interval.
        """
        return _frame(self._json["models"])

    @cached_property
    def cells(self) -> "DataFrame":
        """One row per cell (model, seed, attack, library, eps): numbers, intervals, costs, status, trust."""
        return _frame({k: v for k, v in cell.items() if k != "findings"} for cell in self._json["cells"])

    @cached_property
    def comparisons(self) -> "DataFrame":
        """One row per pair of models, attack, eps: paired differences in robust accuracy and success rate."""
        return _frame(_flat(c) for c in self._json["comparisons"])

    @property
    def sentences(self) -> list[str]:
        """The differences between models at the headline eps in words, as under the leaderboard."""
        return [sentence.text for sentence in self.card.sentences]

    @cached_property
    def flags(self) -> "DataFrame":
        """One row per warning or failure of the trust checks: check, grade, model, attacks, cells, detail."""
        import pandas as pd

        return pd.DataFrame(
            list(self.card.flags), columns=["check", "grade", "model", "attacks", "cells", "detail"]
        )

    @cached_property
    def remarks(self) -> "DataFrame":
        """What must be known to read the numbers, a sentence a row: kind, text, about, grade."""
        import pandas as pd

        return pd.DataFrame(list(self.card.remarks), columns=["kind", "text", "about", "grade"])

    @cached_property
    def classes(self) -> "DataFrame":
        """One row per model, attack and library at the headline eps, and class.

        No rows where there are more than 20 classes. ``clean`` and ``attacked`` count what the class is taken
        for, by class in label order: its rows of confusion matrices.
        """
        return _frame(_class(scores, row) for scores in self._json["classes"] for row in scores["classes"])

    @cached_property
    def samples(self) -> "DataFrame":
        """One row per sample and cell.

        It has the label, clean and adversarial prediction, certainty, success and distances.
        """
        import pandas as pd

        done = [cell for cell in self.run.header.cells if cell.status == "ok"]
        if not done:
            raise UserError(f"{self.path}: no cell of this run has numbers; `Result.cells` says why")
        return pd.concat([_samples(self.run, cell) for cell in done], ignore_index=True)

    def report(self, file: str | Path) -> Path:
        """Write the run as one HTML file that needs no other, and return its path.

        Raises UserError if it cannot be written.
        """
        from bench.comparison.runs import against_reference
        from bench.render.output import write
        from bench.render.report import to_html
        from bench.scoring.strips import shown_samples

        write(
            to_html(self.card, self.run.header, against_reference(self.run), shown_samples(self.run)),
            Path(file),
        )
        return Path(file)

    def figures(self, folder: str | Path, *, width: Literal[1, 2] = 2) -> list[Path]:
        """Draw the run's figures into ``folder``, each as PDF, SVG and PNG, and return their paths.

        ``width`` is in columns of a page: one of 3.3 inches, or two of 6.9. Raises UserError if they cannot
        be written.
        """
        from bench.render.files import save_figures

        try:
            return save_figures(self.card, Path(folder), width)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror}") from None

    def export(self, to: str, file: str | Path | None = None) -> str:
        """Bring the run to where people look, as ``bench export`` does; returns where it is then.

        ``to`` is "card" (a model card of the Hugging Face Hub, written to ``file`` or model-card.md),
        "wandb", "mlflow", or an exporter that a package adds. Raises UserError if that fails, or there is no
        such exporter.
        """
        from bench.api.exporters import Scored, send

        return send(
            Scored(self.card, self.run.header, self.path, self.report),
            to,
            None if file is None else Path(file),
        )

    def __str__(self) -> str:
        """The leaderboard as the terminal shows it."""
        return self._drawn().export_text().rstrip()

    def __repr__(self) -> str:
        models = len(self.run.header.models)
        return (
            f"<Result {self.run.header.suite_name}: {models} models, {len(self.run.header.cells)} cells,"
            f" {self.path}>"
        )

    def _repr_html_(self) -> str:
        """The leaderboard in a notebook."""
        return self._drawn().export_html(
            inline_styles=True, code_format="<pre style='line-height:1.2'>{code}</pre>"
        )

    def _drawn(self) -> "Console":
        from rich.console import Console

        from bench import render
        from bench.render.output import Harmless

        console = Console(record=True, file=io.StringIO(), width=WIDTH, force_jupyter=False)
        console.print(Harmless(render.leaderboard(self.card, WIDTH)))
        return console

    @cached_property
    def _json(self) -> dict[str, Any]:
        from bench.render.text import as_json

        return as_json(self.card)


def _samples(run: StoredRun, cell: CellEntry) -> "DataFrame":
    import pandas as pd

    records = run.records(cell.key)
    identity = {
        "model": cell.model,
        "seed": cell.seed,
        "attack": cell.attack,
        "library": cell.library,
        "norm": cell.norm,
        "eps": eps_text(cell.eps),
        "eps_value": float(cell.eps),
    }
    return pd.DataFrame(
        {**identity, **{name: column for name, column in vars(records).items() if column is not None}}
    )


def _flat(comparison: dict[str, Any]) -> dict[str, Any]:
    """``comparison`` with its two differences as columns: robust_difference, asr_p_adjusted, ..."""
    nested = {k: v for k, v in comparison.items() if isinstance(v, dict)}
    plain = {k: v for k, v in comparison.items() if k not in nested}
    return {
        **plain,
        **{f"{kind}_{name}": value for kind, fields in nested.items() for name, value in fields.items()},
    }


def _class(scores: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """A class of ``scores``, with both shares and their intervals as columns."""
    shares = {
        f"{name}{end}": row[name][field]
        for name in ("accuracy", "robust_accuracy")
        for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    identity = {name: value for name, value in scores.items() if name != "classes"}
    counts = {"n": row["accuracy"]["n"], "clean": row["clean"], "attacked": row["attacked"]}
    return {**identity, "label": row["label"], "class": row["name"], **shares, **counts}


def _frame(rows: Iterable[dict[str, Any]]) -> "DataFrame":
    """``rows`` as a frame, with ``eps_value`` behind ``eps`` where there is one."""
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    if "eps" in frame:
        frame.insert(
            frame.columns.get_loc("eps") + 1, "eps_value", [float(Fraction(eps)) for eps in frame["eps"]]
        )
    return frame
