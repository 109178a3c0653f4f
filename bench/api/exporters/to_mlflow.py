"""MLflow: a run there for each run here.

Server and experiment are MLflow's own settings ($MLFLOW_TRACKING_URI, ...).
"""

import tempfile
from pathlib import Path

from bench.api.exporters.exporter import Exporter, Scored
from bench.api.exporters.headline import facts, numbers, spelt
from bench.render.numbers import chunks
from bench.store import RUN_FILE

LETTERS, LONGEST, AT_ONCE = r"\w\-./ ", 250, 1000
"""What MLflow's names of metrics may hold, their length, and how many it takes at once."""


def _send(run: Scored, _: Path | None) -> str:
    """What was asked as parameters, its numbers as metrics, its report, run.json and cells as artifacts."""
    import mlflow

    with mlflow.start_run(run_name=run.card.run_id) as there, tempfile.TemporaryDirectory() as folder:
        mlflow.log_params(facts(run.card, run.header))
        for part in chunks(list(spelt(numbers(run.card), LETTERS, LONGEST).items()), AT_ONCE):
            mlflow.log_metrics(dict(part))
        mlflow.log_artifact(str(run.report(Path(folder) / "report.html")))
        mlflow.log_artifact(str(run.folder / RUN_FILE))
        if (run.folder / "cells").is_dir():
            mlflow.log_artifacts(str(run.folder / "cells"), artifact_path="cells")
        return f"MLflow run {there.info.run_id} at {mlflow.get_tracking_uri()}"


MLFLOW = Exporter("mlflow", _send)
