"""Examinations in parts: stored once all parts are there, and by one run alone."""

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.files.lock import claimed
from bench.executors.examining import Examining
from bench.ids import ModelId
from bench.trust.gather import Measured
from tests.executors.test_executors import UNITS

MODEL = UNITS[0].model
PROBES, TWINS = Measured([], 1.0), Measured([], 2.0)


class Checks:
    """Those of one model, which has two parts, claimed by a lock in ``folder``."""

    def __init__(self, folder: Path, *, known: bool = False) -> None:
        self.folder, self.known = folder, known
        self.stored: list[Any] = []

    def claim(self, _: ModelId) -> AbstractContextManager[bool]:
        return claimed(self.folder / "lock")

    def due(self, _: ModelId) -> list[Any]:
        return [] if self.known else [UNITS[0]]

    def in_parts(self, _: ModelId) -> list[tuple[str, ...]]:
        return [("probes",), ("planted twins",)]

    def key(self, _: ModelId) -> str:
        return "evidence"

    def store(self, *measured: Any) -> None:
        self.stored.append(measured)
        assert self.is_claimed(), "until it is stored, no other run begins with it"

    def is_claimed(self) -> bool:
        with claimed(self.folder / "lock") as free:
            return not free


def examining(checks: Checks) -> AbstractContextManager[Examining]:
    return closing(Examining(cast("Any", checks)))


@pytest.mark.parametrize("lost", [False, True])
def test_it_is_stored_with_its_last_part_unless_one_was_lost(lost: bool, tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    with examining(checks) as current:
        assert current.begin(UNITS[0]) == [("probes",), ("planted twins",)]
        current.ended(MODEL, ("planted twins",), None if lost else TWINS)
        assert checks.is_claimed()
        assert checks.stored == []
        current.ended(MODEL, ("probes",), PROBES)
        assert not checks.is_claimed()
    assert checks.stored == ([] if lost else [("evidence", MODEL, [PROBES, TWINS])])


def test_one_that_another_run_is_at_is_left_for_later(tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    with examining(checks) as current:
        with claimed(tmp_path / "lock"):
            assert current.begin(UNITS[0]) == []
        assert current.elsewhere == [UNITS[0]]


def test_one_that_another_run_has_just_ended_is_left(tmp_path: Path) -> None:
    checks = Checks(tmp_path, known=True)
    with examining(checks) as current:
        assert current.begin(UNITS[0]) == []
        assert not checks.is_claimed()


def test_one_that_is_broken_off_is_left_to_others(tmp_path: Path) -> None:
    checks = Checks(tmp_path)
    with examining(checks) as current:
        current.begin(UNITS[0])
        assert checks.is_claimed()
    assert not checks.is_claimed()
    assert checks.stored == []
