"""The numbers of a run that trackers of experiments show in their charts and columns."""

import math
import re

from bench.eps import eps_text
from bench.scoring.scorecard import Scorecard
from bench.store import RunHeader


def numbers(card: Scorecard) -> dict[str, float]:
    """By ``model/what``, shares from 0 to 1; at the headline eps where they are of an attack."""
    found: dict[str, float | None] = {}
    for m in card.models:
        name = card.title(m.model)
        found[f"{name}/accuracy"] = None if m.accuracy is None else m.accuracy.value
        found[f"{name}/robust_accuracy"] = None if m.worst_case is None else m.worst_case.value
        found[f"{name}/certainty"], found[f"{name}/certainty_adv"] = m.certainty, m.certainty_adv
    for a in card.attacks:
        if a.eps == card.headline_eps:
            found[f"{card.title(a.model)}/asr/{a.attack}"] = a.asr.value
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def facts(card: Scorecard, header: RunHeader) -> dict[str, str | int]:
    """What was asked, and of what code and on how many samples, in short."""
    return {
        "suite": card.suite,
        "run_id": card.run_id,
        "status": card.status,
        "headline_eps": eps_text(card.headline_eps),
        "samples": header.samples,
        "seed": int(header.suite.get("seed", 0)),
        "trust": card.trust_level,
        "bench_version": str(header.provenance.get("bench_version", "")),
        "commit": str(header.provenance.get("commit") or "unknown"),
        "fingerprint": header.fingerprint,
    }


def spelt(names: dict[str, float], allowed: str, most: int) -> dict[str, float]:
    """``names`` with each character that is not ``allowed`` as _, ``most`` characters long.

    Two that then read the same are numbered. ``allowed`` is the content of a regular expression's set.
    """
    found: dict[str, float] = {}
    for name, value in names.items():
        plain = re.sub(f"[^{allowed}]", "_", name, flags=re.ASCII)[: most - 4]
        same = sum(
            other == plain or re.fullmatch(f"{re.escape(plain)}_[0-9]+", other) is not None for other in found
        )
        found[f"{plain}_{same + 1}" if plain in found else plain] = value
    return found
