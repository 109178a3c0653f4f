"""Loading libraries without a look for garbage."""

import gc
from importlib import import_module

import pytest

from bench.loading import uncollected


def test_nothing_is_collected_within_and_all_is_as_before_after_it() -> None:
    assert gc.isenabled()
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_import_that_fails_leaves_collection_on() -> None:
    with pytest.raises(ModuleNotFoundError), uncollected():
        import_module("there_is_no_such_module")
    assert gc.isenabled()
