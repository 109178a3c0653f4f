"""Attack libraries come and go: another package's, a third one, a missing one and a broken one."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from bench.attacks import registry
from bench.attacks.contract import CONTRACTS
from bench.attacks.library import agreement
from bench.attacks.registry import libraries, title_of
from bench.cli.commands import main
from bench.errors import Exit
from bench.suite.suite import Suite, load_suite, schema_text
from tests.builders.tiny import TINY


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Registers libraries as packages of others do."""

    def register(**points: str) -> None:
        found = [EntryPoint(name, value, registry.ENTRY_POINT) for name, value in points.items()]
        monkeypatch.setattr(
            registry, "entry_points", lambda group: found if group == registry.ENTRY_POINT else []
        )
        registry.libraries.cache_clear()

    yield register
    monkeypatch.undo()
    registry.libraries.cache_clear()


@pytest.fixture
def fresh_imports() -> Iterator[None]:
    registry.problem.cache_clear()
    yield
    registry.problem.cache_clear()


def run(
    tmp_path: Path,
    factory: pytest.TempPathFactory,
    patch: pytest.MonkeyPatch,
    more: str = "",
    code: int = Exit.OK,
) -> Any:
    """The leaderboard of the tiny suite, going on with ``more``, run by the command line."""
    patch.setenv("BENCH_CACHE", str(factory.getbasetemp() / "registry-cache"))
    (tmp_path / "tiny.yaml").write_text(f"{TINY.rstrip()}\n{more}trust: off\n")
    out = tmp_path / "board.json"
    arguments = [
        "run",
        str(tmp_path / "tiny.yaml"),
        "--results",
        str(tmp_path / "results"),
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--format", "json", "-o", str(out)]) == code
    return json.loads(out.read_text())


def verdicts(board: Any, attack: str) -> set[tuple[str, str, str]]:
    return {(c["first"], c["second"], c["verdict"]) for c in board["crosschecks"] if c["attack"] == attack}


def test_a_library_of_another_package_attacks_and_is_cross_checked(
    entry_points: Callable[..., None],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry_points(plain="tests.builders.own_library:LIBRARY")
    monkeypatch.setenv("COLUMNS", "140")
    board = run(tmp_path, tmp_path_factory, monkeypatch, "libraries: [foolbox, plain, art]\n")
    assert {c["library"] for c in board["cells"]} == {"foolbox", "plain", "art"}
    assert {c["status"] for c in board["cells"]} == {"ok"}
    assert verdicts(board, "fgsm") == {
        ("foolbox", "art", "agree"),
        ("foolbox", "plain", "agree"),
        ("art", "plain", "agree"),
    }
    assert ("foolbox", "plain", "not comparable") in verdicts(board, "pgd-3")
    fgsm = {(c["model"], c["eps"], c["library"]): c["asr"] for c in board["cells"] if c["attack"] == "fgsm"}
    assert all(fgsm[model, eps, "plain"] == fgsm[model, eps, "art"] for model, eps, _ in fgsm)
    assert (
        main(["run", str(tmp_path / "tiny.yaml"), "--results", str(tmp_path / "results"), "--device", "cpu"])
        == Exit.OK
    )
    table = capsys.readouterr().out
    assert "cross-check: each two libraries on the same question" in table
    assert "Foolbox and Plain Torch" in " ".join(table.split())
    assert main(["list", "libraries"]) == Exit.OK
    assert "plain" in capsys.readouterr().out
    assert main(["list", "attacks"]) == Exit.OK
    listed = capsys.readouterr().out
    assert "Plain Torch, pgd linf: one step, whatever is asked for" in " ".join(listed.split())
    assert '"plain"' in schema_text()
    assert Suite.model_fields["libraries"].default == ("foolbox", "art"), (
        "a suite's default is the same, whatever is installed"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("tests.builders.no_such_module:LIBRARY", "ModuleNotFoundError"),
        ("tests.builders.own_library:NOT_A_LIBRARY", "it is a object, not an AttackLibrary"),
        ("tests.builders.own_library:NAMESAKE", "the name 'art' is taken"),
        ("tests.builders.own_library:STRANGE", "the contract has no attack spell/linf"),
    ],
)
def test_a_broken_package_costs_its_own_library_only(
    value: str, said: str, entry_points: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    entry_points(bad=value)
    with caplog.at_level(logging.WARNING):
        assert list(libraries()) == ["foolbox", "art", "torchattacks", "bench"]
    assert f"the attack library bad ({value}) is left out: " in caplog.text
    assert said in caplog.text


def not_installed(monkeypatch: pytest.MonkeyPatch) -> str:
    def version_of(name: str) -> str:
        if name == "adversarial-robustness-toolbox":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(registry, "version", version_of)
    return "adversarial-robustness-toolbox is not installed; pip install adversarial-robustness-toolbox"


def broken_at_import(monkeypatch: pytest.MonkeyPatch) -> str:
    def imported(name: str) -> Any:
        if name == "bench.attacks.art.translation":
            raise ImportError("numpy is too new")
        return import_module(name)

    monkeypatch.setattr(registry, "import_module", imported)
    monkeypatch.setattr("bench.attacks.translation.import_module", imported)
    return "it cannot be imported (ImportError: numpy is too new); pip install adversarial-robustness-toolbox"


@pytest.mark.usefixtures("fresh_imports")
@pytest.mark.parametrize("spoil", [not_installed, broken_at_import])
def test_without_one_library_a_suite_runs_through_the_other_and_says_so(
    spoil: Callable[[pytest.MonkeyPatch], str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = spoil(monkeypatch)
    board = run(tmp_path, tmp_path_factory, monkeypatch)
    assert {(c["library"], c["status"]) for c in board["cells"]} == {("foolbox", "ok")}
    assert board["status"] == "complete"
    assert {c["verdict"] for c in board["crosschecks"]} == {"one library"}
    assert f"art is left out: {reason}" in caplog.text
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor"]) != Exit.CRASH
    assert reason in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("fresh_imports")
def test_an_attack_that_only_a_broken_library_has_is_an_error_and_the_others_run(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at_import(monkeypatch)
    board = run(tmp_path, tmp_path_factory, monkeypatch, "  - {attack: apgd, steps: 2}\n", Exit.INCOMPLETE)
    assert {(c["attack"], c["library"], c["status"]) for c in board["cells"]} == {
        ("fgsm", "foolbox", "ok"),
        ("pgd-3", "foolbox", "ok"),
        ("apgd-ce-2", "art", "error"),
    }
    assert all("numpy is too new" in c["error"] for c in board["cells"] if c["status"] == "error")


def test_a_third_library_agrees_bitwise_with_both_others(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchattacks")
    board = run(tmp_path, tmp_path_factory, monkeypatch, "libraries: [foolbox, art, torchattacks]\n")
    pairs = {("foolbox", "art"), ("foolbox", "torchattacks"), ("art", "torchattacks")}
    assert verdicts(board, "fgsm") == verdicts(board, "pgd-3") == {(*pair, "agree") for pair in pairs}
    assert {c["agreement"] for c in board["crosschecks"]} == {1.0}
    assert len(board["crosschecks"]) == 2 * 2 * 2 * 3


def test_pairs_agree_as_far_as_the_less_faithful() -> None:
    assert agreement("exact", "exact") == "exact"
    assert agreement("exact", "statistical") == agreement("statistical", "exact") == "statistical"
    assert agreement("statistical", "related") == "related"
    assert agreement("single", "single") == "single", "as cells of earlier runs say"


def test_every_library_keeps_to_the_contract() -> None:
    for made in libraries().values():
        assert set(made.attacks) <= set(CONTRACTS)
        assert set(made.left_out) <= set(CONTRACTS)
        assert not set(made.left_out) & set(made.attacks)
        assert made.install.startswith("pip install ")
    assert title_of("gone") == "gone", "a run of a library that is not known here is still readable"


def test_an_unknown_library_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(f"{TINY}libraries: [foolbox, torchattack]\n")
    with pytest.raises(
        Exception,
        match=r"suite.yaml:\d+: libraries\[1\]: unknown value 'torchattack'; did you mean 'torchattacks'",
    ):
        load_suite(tmp_path / "suite.yaml")


def test_nothing_but_its_folder_and_its_line_in_the_registry_knows_a_library() -> None:
    """The images that Foolbox's package bundles are a data set, and ART's preprocessors, run in a defence,
    are its own code."""
    root = Path(registry.__file__).parents[2]
    homes = tuple(f"bench/attacks/{name}/" for name in ("foolbox", "art", "torchattacks"))
    guests = {"bench/attacks/registry.py", "bench/data/imagenet_samples.py", "adapters/defences/via_art.py"}
    names = re.compile(r"\b(import|from) (foolbox|art|torchattacks)\b|['\"](foolbox|art|torchattacks)['\"]")
    files = [file for room in ("adapters", "bench") for file in (root / room).rglob("*.py")]
    named = {str(file.relative_to(root)) for file in files if names.search(file.read_text(encoding="utf-8"))}
    assert {name for name in named if not name.startswith(homes)} <= guests
