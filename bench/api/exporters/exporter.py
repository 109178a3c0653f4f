"""What an exporter is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.scoring.scorecard import Scorecard
from bench.store import RunHeader


@dataclass(frozen=True)
class Scored:
    """A scored run that goes out: its numbers, header, folder, and what writes its report to a file."""

    card: Scorecard
    header: RunHeader
    folder: Path
    report: Callable[[Path], Path]


@dataclass(frozen=True)
class Exporter:
    """One way out, by the ``name`` that ``--to`` and ``--export`` take.

    ``send`` brings a run there, and says where it is now. It gets a file to write, which is ``file`` unless
    another one is asked for; of what writes no file, both are None. It imports what it needs when it is
    called; what that raises is said to the user in a line.
    """

    name: str
    send: Callable[[Scored, Path | None], str]
    file: str | None = None
