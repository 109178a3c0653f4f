"""Where a command's answer goes: standard output, or the file that was asked for."""

import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bench.engine.logs import OURS
from bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Control characters, but for tab and line feed, and those that hide text or turn its direction."""


def harmless(text: str) -> str:
    """``text`` with whatever could steer a terminal made visible: names come from strangers' files."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


@dataclass(frozen=True)
class Harmless:
    """``shown`` with its own styles, and text that cannot steer the terminal."""

    shown: "RenderableType"

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        for segment in console.render(self.shown, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)


def note(line: str) -> None:
    """Say on stderr what belongs beside an answer, unless only errors are to be said."""
    if OURS[0].isEnabledFor(logging.WARNING):
        print(harmless(line), file=sys.stderr)  # noqa: T201


def show(make: "Callable[[Console], RenderableType]", output: Path | None = None) -> None:
    """Print what ``make`` gives for the console: standard output, or the file ``output``."""
    from rich.console import Console

    if output is None:
        console = Console()
        console.print(Harmless(make(console)), crop=False)
        return
    with _open(output) as file:
        console = Console(file=file, width=140)
        console.print(Harmless(make(console)), crop=False)


def present(document: "str | Callable[[int], RenderableType]", output: Path | None = None) -> None:
    """Print ``document``, text or what is drawn for so many columns, or write it to the file ``output``."""
    if isinstance(document, str):
        write(document, output)
    else:
        show(lambda console: document(console.width), output)


def write(text: str, output: Path | None = None) -> None:
    """Print ``text``, or write it to the file ``output``. Raises UserError if that cannot be written."""
    text = harmless(text)
    if output is None:
        print(text)  # noqa: T201
        return
    with _open(output) as file:
        file.write(text + "\n")


def _open(output: Path) -> TextIO:
    try:
        return output.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}") from None
