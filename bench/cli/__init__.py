"""The command line: it parses, calls the API, and prints."""

from bench.cli.commands import main

__all__ = ["main"]
