"""Weights & Biases: a run there for each run here.

Project and entity are wandb's own settings ($WANDB_PROJECT, ...).
"""

import tempfile
from pathlib import Path

from bench.api.exporters.exporter import Exporter, Scored
from bench.api.exporters.headline import facts, numbers
from bench.store import RUN_FILE


def _send(run: Scored, _: Path | None) -> str:
    """Its numbers as the summary, its cells as a table, its report, and all of it as an artifact."""
    import wandb

    from bench.render.text import CELL_FIELDS, cell_row

    card = run.card
    about = {
        "group": card.suite,
        "job_type": "bench",
        "config": {**facts(card, run.header), "declared": run.header.suite},
    }
    once = {
        "id": card.run_id,
        "name": card.run_id,
        "resume": "allow",
    }  # to export again is to go on with that run
    with wandb.init(**once, **about) as there, tempfile.TemporaryDirectory() as folder:
        report = run.report(Path(folder) / "report.html")
        rows = [[cell_row(cell)[name] for name in CELL_FIELDS] for cell in card.cells]
        there.log(
            {"cells": wandb.Table(columns=list(CELL_FIELDS), data=rows), "report": wandb.Html(str(report))}
        )
        there.summary.update(numbers(card))
        artifact = wandb.Artifact(f"bench-{card.run_id}", type="bench-run")
        artifact.add_file(str(report))
        artifact.add_file(str(run.folder / RUN_FILE))
        if (run.folder / "cells").is_dir():
            artifact.add_dir(str(run.folder / "cells"), name="cells")
        there.log_artifact(artifact)
        return str(there.url or there.dir)


WANDB = Exporter("wandb", _send)
