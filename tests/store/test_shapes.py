"""The shapes of what is stored hold all that may be stored."""

import pytest
from pydantic import TypeAdapter

from bench.attacks.contract import CONTRACTS
from bench.attacks.library import FIDELITIES
from bench.store.shapes import Norm, Pairing


@pytest.mark.parametrize("key", CONTRACTS)
def test_a_stored_cell_may_have_the_norm_of_any_attack(key: str) -> None:
    norm = key.partition("/")[2]
    assert TypeAdapter(Norm).validate_python(norm) == norm


@pytest.mark.parametrize("pairing", ["single", *FIDELITIES])
def test_a_stored_cell_may_have_any_pairing(pairing: str) -> None:
    assert TypeAdapter(Pairing).validate_python(pairing) == pairing
