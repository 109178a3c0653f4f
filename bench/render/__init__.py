"""Scorecard -> table, JSON, CSV, Markdown. No arithmetic here. What draws is loaded when it is first used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.render.table import leaderboard
    from bench.render.text import to_csv, to_json, to_markdown

__all__ = ["leaderboard", "to_csv", "to_json", "to_markdown"]


def __getattr__(name: str) -> Any:
    """A function of the room, whose module is imported when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'bench.render' has no attribute '{name}'")
    from importlib import import_module

    return getattr(
        import_module("bench.render.table" if name == "leaderboard" else "bench.render.text"), name
    )
