"""Carrying out checks: each by itself, so that one that fails takes no other with it."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.scoring.trust import checks
from bench.store.evidence import Evidence

if TYPE_CHECKING:
    from bench.scoring.checks import Of

log = logging.getLogger(__name__)


def measured(of: "Of", subject: object) -> list[Evidence]:
    """What every check ``of`` a model or an attack that applies to ``subject`` measures, in their order."""
    return [
        e
        for check in checks().values()
        if check.of == of and check.measure
        for e in guarded(check.name, partial(_measured, check.measure, check.applies, subject))
    ]


def _measured(measure: str, applies: str, subject: object) -> Iterable[Evidence]:
    return _function(measure)(subject) if not applies or _function(applies)(subject) else ()


def _function(reference: str) -> Callable[[object], Any]:
    module, _, name = reference.partition(":")
    function: Callable[[object], Any] = getattr(import_module(module), name)
    return function


def guarded(check: str, measure: Callable[[], Iterable[Evidence]]) -> list[Evidence]:
    """What ``measure`` finds; if it raises, evidence that it did, so that no check vanishes in silence."""
    try:
        return list(measure())
    except Exception as error:  # noqa: BLE001 (whatever a library or a model raises is evidence)
        log.warning("the check %s failed: %s: %s", check, type(error).__name__, error)
        return [Evidence(check, "", 0, None, None, None, 0, f"{type(error).__name__}: {error}")]
