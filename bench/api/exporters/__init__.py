"""The registry of exporters: a file each, a line here; other packages add theirs by an entry point."""

from importlib.metadata import entry_points
from pathlib import Path

from bench.api.exporters.exporter import Exporter, Scored
from bench.api.exporters.to_card import CARD
from bench.api.exporters.to_mlflow import MLFLOW
from bench.api.exporters.to_wandb import WANDB
from bench.errors import Exit, UserError

__all__ = ["BUILT_IN", "GROUP", "Exporter", "Scored", "exporter_of", "names", "send"]
BUILT_IN = (CARD, WANDB, MLFLOW)
GROUP = "bench.exporters"
"""The entry points by which installed packages add theirs, each an Exporter under its name."""


class ExportError(UserError):
    """A run did not get out. It is stored, as it was before."""

    exit_code = Exit.CRASH


def names() -> list[str]:
    """The names of all exporters, ours first."""
    return [*(one.name for one in BUILT_IN), *sorted(point.name for point in entry_points(group=GROUP))]


def exporter_of(name: str) -> Exporter:
    """The exporter called ``name``. Raises ValueError, which names those that there are, if there is none."""
    ours = next((one for one in BUILT_IN if one.name == name), None)
    found = ours or next((point.load() for point in entry_points(group=GROUP, name=name)), None)
    if not isinstance(found, Exporter):
        raise ValueError(f"'{name}' is not an exporter; give one of {', '.join(names())}")
    return found


def send(run: Scored, name: str, file: Path | None = None) -> str:
    """Bring ``run`` out through the exporter called ``name``; where it is now.

    Raises UserError if there is none of that name, or it writes no ``file``; ExportError if the run does not
    get out.
    """
    try:
        exporter = exporter_of(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    if file is not None and exporter.file is None:
        raise UserError(f"'{name}' writes no file; leave out {file}")
    try:
        return exporter.send(run, file or (Path(exporter.file) if exporter.file else None))
    except UserError:
        raise
    except ModuleNotFoundError as error:
        fix = f"pip install 'lora-robustness-bench[{name}]'" if exporter in BUILT_IN else "install it"
        raise ExportError(f"'{name}': {error.name or error} is not installed; {fix}") from None
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"'{name}': {type(error).__name__}: {said}; the run is stored, and can be exported again"
        ) from error
