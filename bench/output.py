"""Where a command's answer goes: standard output, or the file that was asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def show(make: "Callable[[Console], RenderableType]", output: Path | None = None) -> None:
    """Print what ``make`` gives for the console: standard output, or the file ``output``."""
    from rich.console import Console

    if output is None:
        console = Console()
        console.print(make(console))
        return
    with _open(output) as file:
        console = Console(file=file, width=140)
        console.print(make(console))


def write(text: str, output: Path | None = None) -> None:
    """Print ``text``, or write it to the file ``output``. Raises UserError if that cannot be written."""
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
