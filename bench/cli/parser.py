"""How the command line is read: full options only, anywhere among a command's arguments.

-q and -v are every command's.
"""

import argparse
import logging
from collections.abc import Sequence
from typing import Any

QUIETER = "print only the answer and errors: no progress, no notes, no warnings"
LOUDER = "also log what is decided along the way"


class Parser(argparse.ArgumentParser):
    """Takes options in full only: ``--out DIR`` is not ``--output DIR``, nor what a later one makes of it."""

    _is_mixing = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As usual, but options may precede an optional argument: ``compare A --results DIR B``."""
        if self._is_mixing or all(action.nargs != "?" for action in self._get_positional_actions()):
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False


def add_loudness(parser: argparse.ArgumentParser) -> None:
    """Add -q and -v to every command of ``parser``."""
    for command in commands(parser):
        loudness = command.add_mutually_exclusive_group()
        for flag, name, level, text in (
            ("-q", "--quiet", logging.ERROR, QUIETER),
            ("-v", "--verbose", logging.INFO, LOUDER),
        ):
            loudness.add_argument(
                flag,
                name,
                dest="level",
                action="store_const",
                const=level,
                default=logging.WARNING,
                help=text,
            )


def commands(parser: argparse.ArgumentParser) -> Sequence[argparse.ArgumentParser]:
    """The commands of ``parser``, and theirs; itself, where it has none."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return [parser]
    return [found for action in below for command in action.choices.values() for found in commands(command)]
