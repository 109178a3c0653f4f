"""Cells whose columns contradict each other, under seals that fit: named, not used, and recomputed."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cli.commands import main
from bench.errors import Exit, UserError
from bench.store import StoredRun, read_records
from bench.store.cellfile import decode, encode
from bench.store.checksum import BrokenFileError
from bench.store.records import COLUMNS, Bools, Records
from tests.builders.scene import Scene, store_scene

Forgery = Callable[[Records], Records]


def attacked(r: Records) -> Bools:
    flags: Bools = r.clean_pred == r.label
    return flags


def first(flags: Bools) -> Bools:
    """The first of the samples that ``flags`` has."""
    one = np.zeros(len(flags), dtype=bool)
    one[int(np.argmax(flags))] = True
    assert flags.any()
    return one


def put(r: Records, where: Bools, **values: float) -> Records:
    columns = {name: getattr(r, name).copy() for name in values}
    for name, value in values.items():
        columns[name][where] = value
    return replace(r, **columns)


def doubled(r: Records) -> Records:
    ids = r.id.copy()
    ids[1] = ids[0]
    return replace(r, id=ids)


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "nothing was broken": (lambda r: put(r, r.success, success=0), "success is not what the predictions say"),
    "one was not broken": (
        lambda r: put(r, first(r.success), success=0), r"success is not .* \(1 of \d+ rows, like scene/",
    ),
    "one was broken": (
        lambda r: put(r, first(~r.success), success=1), "success is not what the predictions say",
    ),
    "all hold": (
        lambda r: replace(r, success=r.success & False, adv_pred=np.where(r.success, r.label, r.adv_pred)),
        "adv probabilities do not fit the adv prediction",
    ),
    "certain and wrong": (
        lambda r: put(r, r.success, adv_prob_true=1.0, adv_prob=1.0), "adv probabilities do not fit",
    ),
    "true class above": (
        lambda r: put(r, r.success, adv_prob_true=1.0), "adv probabilities are not 0 <= prob_true <= prob",
    ),
    "not a number": (lambda r: put(r, first(attacked(r)), clean_prob=np.nan), "clean probabilities are not"),
    "above one": (
        lambda r: put(r, attacked(r), clean_prob=1.5, clean_prob_true=1.5), "clean probabilities are not",
    ),
    "negative": (lambda r: put(r, r.success, adv_prob_true=-0.1), "adv probabilities are not"),
    "more certain": (
        lambda r: put(r, attacked(r), clean_prob=1.0), "clean probabilities do not fit the clean prediction",
    ),
    "no class": (lambda r: put(r, r.success, adv_pred=-1), "a label or adv prediction is not a class"),
    "too far": (lambda r: put(r, first(attacked(r)), linf=0.5), "linf is above eps"),
    "just too far": (
        lambda r: put(r, first(attacked(r)), linf=float(r.linf.max()) + 2e-6), "linf is above eps",
    ),
    "no distance": (lambda r: put(r, first(attacked(r)), linf=np.nan), "linf is not a distance"),
    "negative distance": (lambda r: put(r, first(attacked(r)), linf=-0.01), "linf is not a distance"),
    "twice the same": (doubled, "two rows have the same id"),
    "rows left out": (
        lambda r: Records(*(getattr(r, name)[:-1] for name in COLUMNS)),
        "holds 119 samples, not the run's 120",
    ),
}  # fmt: skip
WHOLE: dict[str, tuple[Forgery, str]] = {
    "another norm": (lambda r: put(r, first(attacked(r)), l2=np.inf), "l2 is not a distance"),
    "queries": (lambda r: replace(r, queries=np.full(len(r), -1)), "queries are not counts"),
    "minimum": (lambda r: replace(r, distance=np.full(len(r), np.nan, np.float32)), "distance is none"),
}
"""What only those that read all columns can find."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the closed-form models in which some samples hold and others do not."""
    return store_scene(tmp_path_factory.mktemp("sound"))


def forge(run: Path, key: str, forgery: Forgery) -> Path:
    """The cell ``key`` of ``run`` as ``forgery`` makes it, under a seal that fits."""
    file = run / "cells" / f"{key}.parquet"
    records, facts = decode(file.read_bytes())
    file.write_bytes(
        encode(forgery(records), {name: fact for name, fact in facts.items() if name != "version"})
    )
    return file


def a_key(run: Path) -> str:
    """A cell in which some samples are broken and others are not."""
    stored = StoredRun(run)
    return next(k for c in stored.header.cells if 0 < stored.outcomes(k := c.key).broken.sum() < 100)


@pytest.mark.parametrize("what", FORGERIES)
def test_a_cell_that_contradicts_itself_is_named_and_computed_anew(what: str, tmp_path: Path) -> None:
    forgery, reason = FORGERIES[what]
    run = store_scene(tmp_path, SMALL)
    key, files = a_key(run), {file.name: file.read_bytes() for file in run.glob("cells/*")}
    file = forge(run, key, forgery)
    (spoilt,) = [cell for cell in StoredRun(run).header.cells if cell.status == "error"]
    assert spoilt.key == key
    assert (spoilt.error or "").startswith(f"{file}: ")
    assert re.search(reason, spoilt.error or "")
    assert main(["compare", str(run)]) == Exit.INCOMPLETE

    assert store_scene(tmp_path, SMALL, fresh=False) == run
    assert {file.name: file.read_bytes() for file in run.glob("cells/*")} == files


@pytest.mark.parametrize("what", WHOLE)
def test_columns_that_ranking_does_not_read_are_checked_where_they_are_read(
    what: str, sound: Path, tmp_path: Path
) -> None:
    forgery, reason = WHOLE[what]
    file = tmp_path / f"{(key := a_key(sound))}.parquet"
    file.write_bytes((sound / "cells" / file.name).read_bytes())
    records, facts = decode(file.read_bytes())
    file.write_bytes(
        encode(forgery(records), {name: fact for name, fact in facts.items() if name != "version"})
    )
    with pytest.raises(UserError, match=rf"{key}.parquet: its columns disagree: {reason}"):
        read_records(file)


SMALL = Scene(models={"base": Scene().models["base"]})


def wrong_from_the_start(r: Records) -> Records:
    """Half of the samples claimed to be predicted wrongly unattacked, in columns that fit each other."""
    lost = attacked(r) & (np.arange(len(r)) % 2 == 0)
    forged = put(r, lost, clean_prob=0.75, adv_prob=0.75, clean_prob_true=0.25, adv_prob_true=0.25, success=0)
    forged = put(forged, lost, linf=0, l2=0, l1=0, l0=0)
    pred = np.where(lost, 1 - r.label, r.clean_pred)
    return replace(forged, clean_pred=pred, adv_pred=np.where(lost, pred, r.adv_pred))


def test_cells_of_one_model_must_agree_on_the_unattacked_samples(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = store_scene(tmp_path)
    key, files = a_key(run), {file.name: file.read_bytes() for file in run.glob("cells/*")}
    file = forge(run, key, wrong_from_the_start)
    decode(file.read_bytes())
    assert [cell.key for cell in StoredRun(run).header.cells if cell.status == "error"] == [key]
    store_scene(tmp_path, fresh=False)
    assert (
        f"{file}: disagrees with other cells of its model on the unattacked samples; not used" in caplog.text
    )
    assert {file.name: file.read_bytes() for file in run.glob("cells/*")} == files


def test_two_cells_that_contradict_each_other_are_both_computed_anew(tmp_path: Path) -> None:
    run = store_scene(tmp_path, SMALL)
    keys = [cell.key for cell in StoredRun(run).header.cells]
    for key in keys[: len(keys) // 2]:
        forge(run, key, wrong_from_the_start)
    assert {cell.status for cell in StoredRun(run).header.cells} == {"error"}


def test_rounding_between_two_machines_is_no_contradiction(tmp_path: Path) -> None:
    def rounded(r: Records) -> Records:
        p = [
            np.clip(c * np.float32(1 - 1e-4), 0, 1)
            for c in (r.clean_prob, r.clean_prob_true, r.adv_prob, r.adv_prob_true)
        ]
        return replace(r, clean_prob=p[0], clean_prob_true=p[1], adv_prob=p[2], adv_prob_true=p[3])

    run = store_scene(tmp_path, SMALL)
    forge(run, a_key(run), rounded)
    assert {cell.status for cell in StoredRun(run).header.cells} == {"ok"}


def test_a_column_with_gaps_or_of_another_type_is_no_column(sound: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bench.store.checksum import BLANK, seal

    def written(table: pa.Table, facts: dict[str, str]) -> bytes:
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, table.schema, compression="snappy", store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({**facts, "sha256": BLANK.decode()})
        data: bytes = sink.getvalue().to_pybytes()
        return seal(data, data.rindex(BLANK))

    file = sound / "cells" / f"{a_key(sound)}.parquet"
    table, (_, facts) = pq.read_table(file), decode(file.read_bytes())
    decode(written(table, facts))
    for name, kind in {"clean_pred": pa.float64(), "success": pa.int64(), "linf": pa.float64()}.items():
        place = table.column_names.index(name)
        other = table.set_column(place, name, table.column(name).cast(kind))
        with pytest.raises(BrokenFileError, match=f"the column {name} is"):
            decode(written(other, facts))
    gaps = pa.array([None, *table.column("linf").to_pylist()[1:]], pa.float32())
    with pytest.raises(BrokenFileError, match="the column linf is"):
        decode(written(table.set_column(table.column_names.index("linf"), "linf", gaps), facts))
