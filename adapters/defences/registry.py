"""The defences by name.

Your own is registered by one line: here, or, from another package, as an entry point.

``[project.entry-points."bench.defences"]`` with ``my-defence = "my_package.my_module:MyDefence"``; the name
is the literal ``defence`` of the class.
"""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args

from pydantic import Field

from adapters.defences.average import Average
from adapters.defences.base import Defence
from adapters.defences.bit_depth import BitDepth
from adapters.defences.confidence_switch import ConfidenceSwitch
from adapters.defences.detector_switch import DetectorSwitch
from adapters.defences.gaussian_blur import GaussianBlur
from adapters.defences.gaussian_noise import GaussianNoise
from adapters.defences.jpeg import Jpeg
from adapters.defences.median import Median
from adapters.defences.random_crop import RandomCrop
from adapters.defences.random_switch import RandomlySwitched
from adapters.defences.resize_pad import ResizePad
from adapters.defences.round_robin import RoundRobin
from adapters.defences.total_variation import TotalVariation

GROUP = "bench.defences"
OWN: tuple[type[Defence], ...] = (
    BitDepth, Median, GaussianBlur, Jpeg, TotalVariation,
    GaussianNoise, ResizePad, RandomCrop,
    RandomlySwitched, ConfidenceSwitch, DetectorSwitch, RoundRobin,
    Average,
)  # fmt: skip


def _registered() -> dict[str, type[Defence]]:
    """All defences by name. Raises TypeError if an entry point is none."""
    found = {name_of(kind): kind for kind in OWN}
    for point in entry_points(group=GROUP):
        kind: Any = point.load()
        if not (isinstance(kind, type) and issubclass(kind, Defence)) or name_of(kind) != point.name:
            raise TypeError(
                f"the entry point {point.name} of {GROUP} ({point.value}) is not a Defence of that name"
            )
        found[point.name] = kind
    return found


def name_of(kind: type[Defence]) -> str:
    """The name by which suites ask for ``kind``."""
    return str(get_args(kind.model_fields["defence"].annotation)[0])


DEFENCES = _registered()

if TYPE_CHECKING:
    AnyDefence = Defence
else:
    AnyDefence = Annotated[Union[tuple(DEFENCES.values())], Field(discriminator="defence")]  # noqa: UP007 (made of a tuple)
"""Any defence, told apart by its ``defence`` key."""
