"""Fails if a published JSON schema is not what the code gives: says which, and how it is written anew."""

import sys
from pathlib import Path

from bench.render.schemas import SCHEMAS

ROOT = Path(__file__).parent.parent


def published(what: str) -> Path:
    """Where the schema of the document ``what`` is published."""
    return (
        ROOT / "suites" / "suite.schema.json"
        if what == "suite"
        else ROOT / "docs" / "schemas" / f"{what}.schema.json"
    )


if __name__ == "__main__":
    stale = [what for what, text in SCHEMAS.items() if published(what).read_text() != text()]
    said = (f"out of date: bench schema --of {what} > {published(what).relative_to(ROOT)}" for what in stale)
    sys.exit("\n".join(said) or None)
