"""Images that a script gave: they are nowhere on disk."""

from typing import NoReturn

from bench.data.raw import Places
from bench.data.spec import DataSpec, Split
from bench.errors import UserError


def open_given(spec: DataSpec, split: Split, places: Places) -> NoReturn:  # noqa: ARG001 (the interface of every source)
    """Raises UserError: only the script has them."""
    raise UserError(
        "data: these images were given in Python (bench.evaluate); only that script can run this again"
    )
