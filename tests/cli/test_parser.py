"""Options stand anywhere among a command's arguments, also where the last of these may be left away."""

import argparse
from itertools import permutations
from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.cli.parser import commands
from tests.builders.scene import store_scene


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str, str]:
    """A results folder, and the ids of two runs in it."""
    first, second = (store_scene(tmp_path).name for _ in range(2))
    return str(tmp_path), first, second


def test_compare_takes_its_runs_and_options_in_any_order(
    runs: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    results, first, second = runs
    orders = {
        tuple(order) for order in permutations([(first,), (second,), ("--results", results), ("--all",)])
    }
    kept = [order for order in orders if order.index((first,)) < order.index((second,))]
    assert len(kept) == 12
    said = set()
    for order in kept:
        assert main(["compare", *(word for words in order for word in words)]) == 0
        said.add(capsys.readouterr().out)
    assert len(said) == 1
    assert first in said.pop()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--results", "x"], "the following arguments are required: PATH"),
        (["a", "--all", "b", "c"], "unrecognized arguments: c"),
        (["a", "--al", "b"], "unrecognized arguments: --al"),
        (["a", "--format"], "argument --format: expected one argument"),
        (["a", "-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
    ],
)
def test_what_cannot_be_read_is_named(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_every_command_takes_q_and_v(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["run"], ["train"], ["reproduce"], ["compare"], ["reference", "update"], ["report"], ["figures"],
        ["list"], ["schema"], ["doctor"],
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert "[-q | -v]" in capsys.readouterr().out, words


def test_commands_are_those_without_commands_of_their_own() -> None:
    parser = argparse.ArgumentParser(prog="p")
    first = parser.add_subparsers()
    first.add_parser("a")
    first.add_parser("b").add_subparsers().add_parser("c")
    assert [command.prog for command in commands(parser)] == ["p a", "p b c"]
