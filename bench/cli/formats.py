"""The option --format: a name, checked against the registry before anything is run."""

import argparse
from functools import partial

from bench.errors import UserError
from bench.render.formats import BUILT_IN, Format, Shown, format_of


def add_format(parser: argparse.ArgumentParser, shown: Shown) -> None:
    """Add the option to ``parser``, whose command shows this."""
    ours = ", ".join(form.name for form in BUILT_IN if getattr(form, shown))
    parser.add_argument(
        "--format", type=partial(_checked, shown=shown), default="table", metavar="FORMAT",
        help=f"{ours}, or one that a package adds (default: table)",
    )  # fmt: skip


def asked_format(name: str, shown: Shown) -> Format:
    """The format called ``name``. Raises UserError unless it can show this."""
    try:
        return format_of(name, shown)
    except ValueError as error:
        raise UserError(f"--format {error}") from None


def _checked(name: str, shown: Shown) -> Format:
    try:
        return format_of(name, shown)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
