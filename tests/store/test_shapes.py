"""The shapes of what is stored hold all that may be stored."""

import pytest
from pydantic import TypeAdapter

from bench.attacks.contract import CONTRACTS
from bench.store.shapes import Norm


@pytest.mark.parametrize("key", CONTRACTS)
def test_a_stored_cell_may_have_the_norm_of_any_attack(key: str) -> None:
    norm = key.partition("/")[2]
    assert TypeAdapter(Norm).validate_python(norm) == norm
