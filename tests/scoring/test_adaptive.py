"""Whether an attack knows the defences: what does not is named, and alone it says nothing."""

from dataclasses import replace

import numpy as np
import pytest

from bench.scoring.record_checks import Neighbours, Scored, adaptive
from bench.store.records import CellOutcomes
from tests.builders.boards import entry


def scored(attack: str, role: str) -> Scored:
    n = 8
    flags = np.ones(n, dtype=np.bool_)
    outcomes = CellOutcomes(np.arange(n).astype(np.str_), np.zeros(n, np.int64), flags, ~flags, 0.03)
    return Scored(replace(entry("m", 0, attack, "8/255", "foolbox"), role=role), outcomes)


@pytest.mark.parametrize(
    ("roles", "grades"),
    [
        (["naive"], ["fail"]),
        (["naive", "adaptive"], ["warn", "pass"]),
        (["both"], ["pass"]),
        ([""], []),
    ],
)
def test_an_attack_that_does_not_know_the_defences_is_named(roles: list[str], grades: list[str]) -> None:
    cells = [scored("pgd", role) for role in roles]
    around = Neighbours(cells, cells[0].outcomes.id, [])
    assert [grade for cell in cells for grade, _ in adaptive(cell, around)] == grades
