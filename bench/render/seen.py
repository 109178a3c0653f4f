"""What the models see, above the numbers that rest on it."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.text import Text

from bench.scoring.seen import Seen, classes_hash
from bench.store import DataEntry


def seen_lines(seen: Iterable[Seen]) -> Iterator[Text]:
    """The lines of ``seen`` for a terminal; what is only assumed stands out."""
    yield from (Text(line.text, style="yellow" if line.assumed else "") for line in seen)


def data_row(data: DataEntry | None) -> dict[str, Any] | None:
    """The attacked samples for a program."""
    return None if data is None else {**asdict(data), "classes_sha256": classes_hash(data.classes)}
