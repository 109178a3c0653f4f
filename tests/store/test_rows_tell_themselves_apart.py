"""A folder of cells is one table: each row says of which model, attack, library and eps it is."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.store import OpenRun, StoredRun, open_run
from bench.store.cellfile import decode, encode
from tests.builders.runs import cell_entry, run_header
from tests.builders.scene import store_scene
from tests.store.test_storage import KEYS, records

NAMED = ["model", "seed", "attack", "library", "norm", "eps", "eps_value"]


def stored(folder: Path, model: str) -> OpenRun:
    cells = [cell_entry(model, 3, "pgd", "260/255", "linf", "art", "exact", KEYS[0])]
    run = open_run(
        folder,
        run_header(cells, samples=12, run_id=f"{model}-ffffffff", suite=model, fingerprint=model),
        fresh=False,
    )
    if run.missing([KEYS[0]]):
        run.write_cell(KEYS[0], records(1))
    run.save("complete")
    return run


def rows(run: OpenRun) -> pd.DataFrame:
    return pd.read_parquet(run.path / "cells")


def test_a_folder_of_cells_read_by_pandas_is_what_the_result_has(tmp_path: Path) -> None:
    result = bench.load(store_scene(tmp_path))
    found = pd.read_parquet(result.path / "cells")
    assert len(found) == len(result.samples) == 2 * 2 * 2 * 3 * 120
    assert set(found["eps"]) == {"8/255", "16/255", "32/255"}
    order = [*NAMED, "id"]
    left, right = (frame.sort_values(order).reset_index(drop=True) for frame in (found, result.samples))
    assert set(left.columns) == set(right.columns)
    for name in left.columns:
        assert left[name].tolist() == right[name].tolist(), name
    robust = (found["adv_pred"] == found["label"]).groupby([found[name] for name in NAMED]).mean()
    by_hand = result.cells.set_index(NAMED)["robust_accuracy"]
    assert robust.sort_index().tolist() == pytest.approx(by_hand.sort_index().tolist(), abs=1e-9)


def test_each_row_of_one_cell_is_named_and_so_is_its_metadata(tmp_path: Path) -> None:
    run = stored(tmp_path, "lora")
    assert rows(run)[NAMED].drop_duplicates().to_numpy().tolist() == [
        ["lora", 3, "pgd", "art", "linf", "260/255", 260 / 255]
    ]
    _, facts = decode((run.path / "cells" / f"{KEYS[0]}.parquet").read_bytes())
    assert {name: facts[name] for name in ("model", "seed", "eps", "key")} == {
        "model": "lora", "seed": "3", "eps": "52/51", "key": KEYS[0]
    }  # fmt: skip


def test_a_cell_that_another_run_takes_over_has_that_runs_name(tmp_path: Path) -> None:
    first, second = stored(tmp_path, "lora"), stored(tmp_path, "renamed")
    assert not second.missing([KEYS[0]])
    assert rows(second)["model"].unique().tolist() == ["renamed"]
    assert rows(first)["model"].unique().tolist() == ["lora"]
    assert StoredRun(second.path).header.cells[0].status == "ok"
    assert rows(second).drop(columns="model").equals(rows(first).drop(columns="model"))


def test_a_file_of_before_these_columns_is_read_and_has_them_once_it_is_taken_over(tmp_path: Path) -> None:
    run = stored(tmp_path, "lora")
    file = run.path / "cells" / f"{KEYS[0]}.parquet"
    found, facts = decode(file.read_bytes())
    file.write_bytes(encode(found, {name: fact for name, fact in facts.items() if name != "version"}))
    assert "eps_value" not in rows(run).columns
    result = bench.load(run.path)
    assert result.samples["eps"].unique().tolist() == ["260/255"]
    assert rows(stored(tmp_path, "renamed"))["eps_value"].unique().tolist() == [260 / 255]


def test_the_same_cell_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (stored(tmp_path / name, "lora") for name in ("a", "b"))
    assert replace(one.header, run_id="").cells == replace(other.header, run_id="").cells
    first, second = ((run.path / "cells" / f"{KEYS[0]}.parquet").read_bytes() for run in (one, other))
    assert first == second
