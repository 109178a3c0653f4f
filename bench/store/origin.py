"""Where and by what a cell was computed: what a run says of itself, kept with cells that others take over."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Origin = Mapping[str, Any]
"""The provenance of the process that computed a cell, without what is private."""
FOLDER = "suite_folder"
"""Where the suite's file was, from which its paths count."""
PRIVATE = ("command", FOLDER)
"""Provenance that stays out of committed files: it names places on somebody's machine."""


def origin_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The origin of what a run with this ``provenance`` computes."""
    return {name: value for name, value in provenance.items() if name not in PRIVATE}


def name_of(origin: Origin) -> str:
    """What cells call ``origin``."""
    return _digest(origin)


def software(origin: Origin) -> str:
    """Names the code and the packages of ``origin``: what two parts of one answer must have in common."""
    return _digest({name: origin.get(name) for name in ("code", "packages")})


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
