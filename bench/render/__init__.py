"""Scorecard -> table, JSON, CSV, Markdown. No arithmetic here."""

from bench.render.table import leaderboard
from bench.render.text import to_csv, to_json, to_markdown

__all__ = ["leaderboard", "to_csv", "to_json", "to_markdown"]
