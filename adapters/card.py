"""What is known of a trained model without loading it: kept beside its weights."""

import json
import logging
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from adapters.cache import is_sound

CARD = "card.json"
WEIGHTS = "model.safetensors"
ADAPTER = "adapter"
ADAPTER_FILE = "adapter_model.safetensors"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """What is known of a trained model without loading it; ``notes`` say what was chosen when its files were read."""

    sha256: str
    method: str
    trainable_parameters: int
    parameters: int
    losses: tuple[float, ...]
    notes: tuple[str, ...] = ()


def read_card(folder: Path) -> Card | None:
    """The card in ``folder``; None if there is none that this version can read, or if a file there is damaged."""
    if not is_sound(folder):
        return None
    try:
        fields = json.loads((folder / CARD).read_text())
        return Card(**{**fields, "losses": tuple(fields["losses"]), "notes": tuple(fields.get("notes", ()))})
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: of another version (%s); made anew", folder, error)
        return None


def weights_name(names: Collection[str]) -> str:
    """Which of the files ``names`` of a model's folder holds its weights."""
    adapter = f"{ADAPTER}/{ADAPTER_FILE}"
    return adapter if adapter in names else WEIGHTS


def write_card(folder: Path, card: Card) -> None:
    """Write ``card`` into ``folder``."""
    (folder / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n")
