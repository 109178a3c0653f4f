"""The attack libraries there are: those registered here, and those of other packages."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticKnownError

from bench.attacks.contract import CONTRACTS
from bench.attacks.library import AttackLibrary
from bench.loading import uncollected

log = logging.getLogger(__name__)

REGISTERED = (
    "bench.attacks.foolbox",
    "bench.attacks.art",
    "bench.attacks.torchattacks",
    "bench.attacks.bench",
)
"""Modules with a LIBRARY. Cells and tables keep this order."""
ENTRY_POINT = "bench.attack_libraries"
"""Where another package registers an AttackLibrary."""
BOTH = "both"
"""What carries out an ensemble, whose members go through several libraries in one unit."""


@cache
def libraries() -> Mapping[str, AttackLibrary]:
    """Every attack library by name, whether it is installed or not."""
    found = {made.name: made for made in (import_module(module).LIBRARY for module in REGISTERED)}
    for point in sorted(entry_points(group=ENTRY_POINT), key=lambda p: p.name):
        made = _loaded(point)
        if made is not None and (reason := _unfit(made, found)):
            log.warning("the attack library %s (%s) is left out: %s", point.name, point.value, reason)
        elif made is not None:
            found[made.name] = made
    return found


def _loaded(point: EntryPoint) -> AttackLibrary | None:
    """The library of another package; None, with a warning, if that is broken: all others still work."""
    try:
        made = point.load()
    except Exception as error:  # noqa: BLE001 (whatever a stranger's module raises)
        made, reason = None, f"{type(error).__name__}: {error}"
    else:
        reason = f"it is a {type(made).__name__}, not an AttackLibrary"
    if isinstance(made, AttackLibrary):
        return made
    log.warning("the attack library %s (%s) is left out: %s", point.name, point.value, reason)
    return None


def _unfit(made: AttackLibrary, found: Mapping[str, AttackLibrary]) -> str | None:
    """Why ``made`` cannot stand beside those ``found``; None if it can."""
    if made.name in found or made.name == BOTH:
        return f"the name '{made.name}' is taken"
    strange = [key for key in made.attacks if key not in CONTRACTS]
    return f"the contract has no attack {', '.join(strange)}" if strange else None


def default_libraries() -> tuple[str, ...]:
    """What suites run through that name no libraries."""
    return tuple(name for name, made in libraries().items() if made.is_default)


def having(attack: str) -> tuple[str, ...]:
    """The libraries that carry out ``attack`` ("attack/norm")."""
    return tuple(name for name, made in libraries().items() if attack in made.attacks)


def title_of(library: str) -> str:
    """The name of ``library`` in prose; a stored run may have one that is not registered here."""
    return libraries()[library].title if library in libraries() else library


def version_of(library: str) -> str:
    """The installed version of ``library``, as it stands in a cell's key."""
    try:
        return version(libraries()[library].distributions[0])
    except PackageNotFoundError:
        return "not installed"


def missing(library: str) -> str | None:
    """What of ``library`` is not installed, and the fix; None if all of it is. Imports nothing."""
    made = libraries()[library]
    left = [name for name in made.distributions if not _is_installed(name)]
    return f"{', '.join(left)} is not installed; {made.install}" if left else None


@cache
def problem(library: str) -> str | None:
    """Why ``library`` cannot attack here, and the fix; None if it can. Imports it."""
    if said := missing(library):
        return said
    made = libraries()[library]
    try:
        with uncollected():
            import_module(made.translation)
    except Exception as error:  # noqa: BLE001 (whatever a broken library raises)
        return f"it cannot be imported ({type(error).__name__}: {error}); {made.install}"
    return None


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _known(name: str) -> str:
    if name not in libraries():
        raise PydanticKnownError("literal_error", {"expected": _listed(list(libraries()))})
    return name


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


class _Names:
    """The names of all libraries, in JSON schemas: asked for when a schema is made."""

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, object]:
        return {"enum": list(libraries()), "type": "string"}


Library = Annotated[str, AfterValidator(_known), _Names()]
"""The name of a registered library."""
Carrier = str
"""What carries out a unit: one library, or, for an ensemble, BOTH."""


def all_distributions() -> Iterator[str]:
    """What the libraries are installed as."""
    for made in libraries().values():
        yield from made.distributions
