"""Loading libraries without a look for garbage."""

import gc
import subprocess
import sys
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


def test_what_was_made_within_counts_as_old_and_what_is_set_apart_stays_so() -> None:
    with uncollected():
        made: list[list[int]] = [[] for _ in range(1000)]
    assert not any(one is made[0] for one in gc.get_objects(generation=0))
    assert any(one is made[0] for one in gc.get_objects(generation=2))
    gc.freeze()
    try:
        with uncollected():
            pass
        assert gc.get_freeze_count() > len(made)
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_collection_on() -> None:
    with pytest.raises(ModuleNotFoundError), uncollected():
        import_module("there_is_no_such_module")
    assert gc.isenabled()


def test_nothing_is_collected_as_a_command_ends() -> None:
    """What is registered first is called last: after all else at exit, before Python looks for garbage."""
    code = (
        "import atexit, gc; atexit.register(lambda: print('left out:', gc.get_freeze_count() > 10_000));"
        "from bench.cli import main; main(['list', 'suites'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("left out: True\n")
