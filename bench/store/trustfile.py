"""trust/<key>.json: what was measured to see whether one model's cells can be trusted, and its checksum."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from bench.store.checksum import BrokenFileError, from_json, to_json
from bench.store.evidence import Evidence


@dataclass(frozen=True)
class Measured:
    """The evidence on one model, and how long gathering it took.

    ``sealed`` is False for files from before checksums.
    """

    evidence: tuple[Evidence, ...]
    seconds: float
    sealed: bool


def trust_file(run: Path, key: str) -> Path:
    """Where the evidence ``key`` is."""
    return run / "trust" / f"{key}.json"


def encode_measured(key: str, evidence: Sequence[Evidence], seconds: float) -> bytes:
    """The evidence ``key`` as a file."""
    return to_json({"key": key, "seconds": round(seconds, 4), "evidence": [asdict(e) for e in evidence]})


def read_measured(file: Path) -> Measured:
    """What ``file`` holds. Raises BrokenFileError if it is damaged, or another file's."""
    try:
        fields, sealed = from_json(file.read_bytes())
        if sealed and fields["key"] != file.stem:
            raise BrokenFileError(f"holds the evidence {fields['key']}")
        seconds, found = (fields["seconds"], fields["evidence"]) if sealed else _before_checksums(fields)
        return Measured(tuple(map(_evidence, found)), float(seconds), sealed)
    except OSError as error:
        raise BrokenFileError(f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenFileError(f"is broken ({error})") from None


def _evidence(fields: dict[str, Any]) -> Evidence:
    eps = fields.get("eps")
    return Evidence(
        **{**fields, "samples": tuple(fields["samples"]), "eps": None if eps is None else Fraction(eps)}
    )


def _before_checksums(fields: Any) -> tuple[float, Any]:
    """Seconds and evidence; the first version held no seconds.

    With other fields, the name of a checksum is damaged.
    """
    if isinstance(fields, list):
        return 0.0, fields
    if set(fields) != {"seconds", "evidence"}:
        raise BrokenFileError("damaged: it has no checksum")
    return fields["seconds"], fields["evidence"]
