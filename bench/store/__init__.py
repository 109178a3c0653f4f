"""Runs on disk: the only writer under results/. Each file appears whole or not at all.

``results/<suite>/<run-id>/run.json`` says what was asked, where and with what; ``cells/<key>.parquet`` holds
one row per sample; ``trust/<key>.json`` what was measured to see whether one model's cells can be trusted.
Each carries its own checksum. A cell's file holds nothing that differs between two runs of the same cell: its
cost stands in run.json. ``parts/<key>/`` holds what is done of a unit that is not finished. ``strips/`` has a
few attacked samples as pictures, which no number is made from.

Several processes may work on one run: each unit is claimed by one of them, and run.json is merged, never
overwritten.
"""

from bench.store.attempts import Attempted, attempted, check_newest, refused
from bench.store.header import (
    RUN_FILE,
    SCALED,
    SCHEMA_VERSION,
    CellEntry,
    DataEntry,
    ModelEntry,
    RunHeader,
    parse_header,
    read_header,
    readable_header,
)
from bench.store.opening import check_writable, join_run, new_run_id, open_run
from bench.store.origin import FOLDER, PRIVATE, Origin, software
from bench.store.reference import reference_file, weights_folder, write_published, write_reference
from bench.store.run import OpenRun
from bench.store.stored import StoredRun, list_runs, read_records, some_runs

__all__ = [
    "FOLDER",
    "PRIVATE",
    "RUN_FILE",
    "SCALED",
    "SCHEMA_VERSION",
    "Attempted",
    "CellEntry",
    "DataEntry",
    "ModelEntry",
    "OpenRun",
    "Origin",
    "RunHeader",
    "StoredRun",
    "attempted",
    "check_newest",
    "check_writable",
    "join_run",
    "list_runs",
    "new_run_id",
    "open_run",
    "parse_header",
    "read_header",
    "read_records",
    "readable_header",
    "reference_file",
    "refused",
    "software",
    "some_runs",
    "weights_folder",
    "write_published",
    "write_reference",
]
