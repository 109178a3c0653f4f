"""Words that a shell completes: suites, runs, and a suite's models (argcomplete asks for them)."""

import argparse
from collections.abc import Callable, Iterator

import argcomplete
from argcomplete.completers import FilesCompleter

from bench.errors import UserError

Completer = Callable[..., list[str]]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and leave. For any other caller nothing happens."""
    for action in _arguments(parser):
        if action.dest in COMPLETERS:
            action.completer = COMPLETERS[action.dest]  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of ``parser`` and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _arguments(command)
        else:
            yield action


def suites(prefix: str, **_: object) -> list[str]:
    """The names of the shipped suites, and the YAML files here."""
    from bench.suite.suite import shipped_suites

    files: list[str] = FilesCompleter(["yaml", "yml"])(prefix)
    return [*(suite.stem for suite in shipped_suites()), *files]


def runs(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The newest run, the reference, every run by its id, and the folders here."""
    files: list[str] = FilesCompleter()(prefix)
    found = sorted(path.parent.name for path in parsed_args.results.glob("*/*/run.json"))
    return ["latest", "reference", *found, *files]


def units(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:  # noqa: ARG001
    """Every unit of each of the suite's models."""
    from bench.suite.suite import find_suite, load_suite

    try:
        return [f"{model.name}/*" for model in load_suite(find_suite(parsed_args.suite)).models]
    except UserError:
        return []  # running it says what is wrong; here there is nothing to offer


def exporters(**_: object) -> list[str]:
    """Ours, and those of installed packages."""
    from bench.api.exporters import names

    return names()


COMPLETERS: dict[str, Completer] = {
    "suite": suites, "run": runs, "before": runs, "after": runs, "only": units, "to": exporters,
    "export": exporters,
}  # fmt: skip
"""By the name of the argument."""
