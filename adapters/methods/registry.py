"""The registry of adaptations: every declaration that a suite may hold, and what carries it out."""

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args

from pydantic import Field

from adapters.methods.built_in import BUILT_IN
from adapters.methods.method import Method
from adapters.spec import Adaptation

GROUP = "bench.adaptations"
"""The entry points by which installed packages add theirs, each a subclass of Method."""


@cache
def methods() -> dict[type[Adaptation], Method]:
    """All methods by their declarations: ours, then those of packages by the names of their entry points."""
    own = (entry.load()() for entry in sorted(entry_points(group=GROUP)))
    return {method.spec: method for method in (*BUILT_IN, *own)}


def method_of(adaptation: Adaptation) -> Method:
    """What carries ``adaptation`` out."""
    return methods()[type(adaptation)]


def on_layers() -> dict[str, type[Adaptation]]:
    """The declarations of methods for named layers (``targets``), by what they are called."""
    return {_name(spec): spec for spec in methods() if "targets" in spec.model_fields}


def _name(spec: type[Adaptation]) -> str:
    name: str = get_args(spec.model_fields["method"].annotation)[0]
    return name


if TYPE_CHECKING:
    Declared = Adaptation
    OnLayers = str
else:
    Declared = Annotated[Union[tuple(methods())], Field(discriminator="method")]  # noqa: UP007 (made of a list)
    """Any of them, told apart by ``method``."""
    OnLayers = Literal[tuple(on_layers())]
