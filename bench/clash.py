"""Whether another package hides our ``adapters``: AdapterHub's has the same name; installing both breaks one.

Ours keeps its name: neither a wheel nor an editable install can show a folder at the top level as
``bench.adapters`` without import hooks, which type checkers and debuggers do not follow. So the clash is
named, before anything fails in odd ways.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

OURS = '"""Models as one uniform Classifier'
"""How our adapters/__init__.py begins."""
OTHER = "adapters"
"""What AdapterHub's package is called in the registry."""
FIX = (
    "install bench into an environment without it: pip uninstall adapters, then "
    "pip install --force-reinstall lora-robustness-bench"
)


def find_clash() -> str | None:
    """What hides our ``adapters``, and the fix; None where ``import adapters`` gives ours.

    Imports nothing.
    """
    spec = find_spec("adapters")
    if spec is None or spec.origin is None:
        return f"the package 'adapters', which belongs to bench, is not there; {FIX}"
    if Path(spec.origin).read_text(encoding="utf-8", errors="replace").startswith(OURS):
        return None
    return (
        f"{spec.origin} is another package called 'adapters' (AdapterHub's?), and hides the one that belongs"
        f" to bench; {FIX}"
    )


def installed_beside() -> str | None:
    """The version of AdapterHub's package, if it is installed beside ours; None where it is not."""
    try:
        return version(OTHER)
    except PackageNotFoundError:
        return None
