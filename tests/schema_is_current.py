"""Fails if suites/suite.schema.json is not what the code gives: ``bench schema > suites/suite.schema.json`` mends it."""

import sys
from pathlib import Path

from bench.suite.suite import schema_text

COMMITTED = Path(__file__).parent.parent / "suites" / "suite.schema.json"

if __name__ == "__main__":
    current = COMMITTED.read_text() == schema_text()
    sys.exit(None if current else f"{COMMITTED} is out of date: run `bench schema > suites/suite.schema.json`")
