"""The command line: it parses, calls the API, and prints."""

import sys
from collections.abc import Sequence

from bench.clash import find_clash


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``bench`` and return its exit code.

    It is 4 where another package hides one of ours, which nothing works without.
    """
    if (hidden := find_clash()) is not None:
        print(f"bench: {hidden}", file=sys.stderr)  # noqa: T201
        return 4
    from bench.cli.commands import main as run
    from bench.loading import uncollected_at_exit

    uncollected_at_exit()
    return run(arguments)
