"""LoRA robustness bench: suite -> plan -> run -> store -> score -> render.

From Python: ``bench.evaluate``, ``bench.run``, ``bench.load`` and ``bench.compare``. Importing this loads no
library; what a call needs is loaded by the call.
"""

import warnings
from typing import TYPE_CHECKING, Any

from bench.clash import find_clash
from bench.version import __version__

if TYPE_CHECKING:
    from bench.api.calls import compare, evaluate, load, run
    from bench.api.result import Result
    from bench.errors import UserError

__all__ = ["Result", "UserError", "__version__", "compare", "evaluate", "load", "run"]
_PLACES = {
    "Result": "bench.api.result",
    "UserError": "bench.errors",
    **dict.fromkeys(("compare", "evaluate", "load", "run"), "bench.api.calls"),
}
_HIDDEN = find_clash()
if _HIDDEN is not None:
    warnings.warn(_HIDDEN, RuntimeWarning, stacklevel=2)


def __getattr__(name: str) -> Any:
    """A name of the API, whose module is imported when it is first used.

    Raises ImportError where that is hidden.
    """
    if name not in _PLACES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    if _HIDDEN is not None:
        raise ImportError(_HIDDEN)
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
