"""What is known of a trained model without loading it: kept beside its weights."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.cache.folders import is_sound
from adapters.preprocessing import Preprocessing
from adapters.training.curves import Robust

CARD = "card.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """What is known of a trained model without loading it.

    ``losses`` are those of each epoch, and ``robust`` is how an adversarial training went besides. ``notes``
    say what was chosen when its files were read, and what training has to say; ``preprocessing`` is what
    happens to an image inside it.
    """

    sha256: str
    method: str
    trainable_parameters: int
    parameters: int
    losses: tuple[float, ...]
    notes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    robust: Robust | None = None


def read_card(folder: Path) -> Card | None:
    """The card in ``folder``; None if there is none that this version reads, or if a file is damaged."""
    if not is_sound(folder):
        return None
    try:
        return _parsed(json.loads((folder / CARD).read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s: from another version (%s); rebuilt", folder, error)
        return None


def _parsed(fields: dict[str, Any]) -> Card:
    """The card with these ``fields``, with JSON's lists as tuples."""
    expects = fields.get("preprocessing")
    preprocessing = expects and Preprocessing(
        **{**expects, "mean": tuple(expects["mean"]), "std": tuple(expects["std"])}
    )
    robust = fields.get("robust")
    curves = robust and Robust.of(robust)
    plain = {**fields, "losses": tuple(fields["losses"]), "notes": tuple(fields.get("notes", ()))}
    return Card(**{**plain, "preprocessing": preprocessing, "robust": curves})


def write_card(folder: Path, card: Card) -> None:
    """Write ``card`` into ``folder``."""
    (folder / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n")
