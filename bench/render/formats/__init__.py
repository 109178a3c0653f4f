"""The registry of output formats: a file each, a line here; other packages add theirs by an entry point."""

from importlib.metadata import entry_points
from typing import Literal

from bench.render.formats.as_csv import CSV
from bench.render.formats.as_json import JSON
from bench.render.formats.as_junit import JUNIT
from bench.render.formats.as_markdown import MARKDOWN
from bench.render.formats.as_table import TABLE
from bench.render.formats.format import Format

__all__ = ["BUILT_IN", "GROUP", "Format", "Shown", "format_of", "names"]
BUILT_IN = (TABLE, JSON, CSV, MARKDOWN, JUNIT)
GROUP = "bench.output_formats"
"""The entry points by which installed packages add theirs, each a Format under its name."""
Shown = Literal["run", "verdict", "runs", "reproduction", "listing"]
"""What there is to show: each a field of Format."""


def names(shown: Shown) -> list[str]:
    """The formats that can show this, ours first."""
    ours = [form.name for form in BUILT_IN if getattr(form, shown)]
    return [*ours, *sorted(entry.name for entry in entry_points(group=GROUP) if getattr(entry.load(), shown))]


def format_of(name: str, shown: Shown) -> Format:
    """The format called ``name``.

    Raises ValueError, which names those that there are, unless it can show this.
    """
    form = next((form for form in BUILT_IN if form.name == name), None) or _installed(name)
    if form is None or getattr(form, shown) is None:
        raise ValueError(f"'{name}' shows no {WORDS[shown]}; give one of {', '.join(names(shown))}")
    return form


WORDS: dict[Shown, str] = {
    "run": "run", "verdict": "comparison", "runs": "list of runs",
    "reproduction": "reproduction", "listing": "listing",
}  # fmt: skip


def _installed(name: str) -> Format | None:
    found = next((entry.load() for entry in entry_points(group=GROUP, name=name)), None)
    return found if isinstance(found, Format) else None
