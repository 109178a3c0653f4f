"""Output formats are a registry: a file and a line each; a package adds its own by an entry point."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main
from bench.render import formats
from bench.render.formats.format import Format
from bench.scoring.scorecard import Scorecard
from tests.builders.scene import Scene, store_scene


def worst(card: Scorecard) -> str:
    return "\n".join(f"{m.model}: {m.worst_case.count}" for m in card.models if m.worst_case)


PLAIN = Format(
    "plain", run=worst, verdict=lambda verdict, every_row: f"{verdict.word} {len(verdict.rows)} {every_row}"
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point of a package that adds the format "plain"."""
    point = EntryPoint("plain", f"{__name__}:PLAIN", formats.GROUP)

    def entry_points(**asked: Any) -> EntryPoints:
        return EntryPoints([point]).select(**asked)

    monkeypatch.setattr(formats, "entry_points", entry_points)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    results = tmp_path_factory.mktemp("results")
    return store_scene(results), store_scene(results, Scene(gate={"min_effect": 0.5}))


@pytest.mark.parametrize(
    ("shown", "there"),
    [
        ("run", ["table", "json", "csv", "md"]),
        ("verdict", ["table", "json", "csv", "md", "junit"]),
        ("runs", ["table", "json", "csv", "md"]),
        ("reproduction", ["table", "json"]),
        ("listing", ["table", "json"]),
    ],
)
def test_what_can_be_shown_how(shown: formats.Shown, there: list[str]) -> None:
    assert formats.names(shown) == there
    for name in there:
        assert formats.format_of(name, shown).name == name


@pytest.mark.usefixtures("installed")
def test_a_format_of_another_package_is_one_like_ours(
    two_runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, second = map(str, two_runs)
    assert main(["compare", first, second, "--format", "plain", "--all"]) == 0
    assert capsys.readouterr().out == "no change shown 26 True\n"
    out = tmp_path / "out.txt"
    assert main(["compare", first, second, "--format", "plain", "-o", str(out)]) == 0
    assert out.read_text() == "no change shown 26 False\n"
    assert formats.names("run") == ["table", "json", "csv", "md", "plain"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run", "fgsm_pgd", "--format", "junit"], "'junit' shows no run; give one of table, json, csv, md"),
        (["run", "fgsm_pgd", "--format", "xml"], "'xml' shows no run; give one of table, json, csv, md"),
        (["reproduce", "latest", "--format", "csv"], "'csv' shows no reproduction; give one of table, json"),
    ],
)
def test_a_format_that_cannot_show_it_is_refused_before_anything_is_run(
    command: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert f"argument --format: {said}" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("installed")
def test_a_format_that_lists_no_runs_is_refused(
    two_runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(two_runs[0].parent), "--format", "plain"]) == 2
    assert "--format 'plain' shows no list of runs; give one of table, json" in capsys.readouterr().err


def test_each_format_is_a_function_of_the_scorecard_alone(two_runs: tuple[Path, Path]) -> None:
    import bench

    card = bench.load(two_runs[0]).card
    for form in formats.BUILT_IN:
        show: Callable[[Scorecard], Any] | None = form.run
        found = show(card) if show else None
        assert found is None or callable(found) or "base" in found, form.name
