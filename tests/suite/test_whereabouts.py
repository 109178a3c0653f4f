"""Where a suite's paths are looked for, and on which line of the suite an error is."""

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from bench.api.pipeline import _suite_folder
from bench.cli.commands import main
from bench.data import Places
from bench.engine.job import make_job
from bench.engine.options import Options
from bench.errors import SuiteError, UserError
from bench.store import FOLDER, StoredRun
from bench.suite.suite import Suite, load_suite
from bench.suite.whereabouts import located
from tests.builders.scene import PROVENANCE, Scene, store_scene

SUITE = textwrap.dedent("""\
    name: paths
    data:
      source: imagefolder
      path: pictures
      classes: [a, b]
      size: 16
    backbone:
      architecture: resnet18
      weights: w.pt
    models:
      - name: plain
        adaptation: {method: none}
      - name: tuned
        adaptation:
          method: peft
          path: my/adapter/here
    eps: 8/255
    attacks:
      - attack: fgsm
    """)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "suites").mkdir()
    file = tmp_path / "suites" / "paths.yaml"
    file.write_text(SUITE)
    return load_suite(file)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """The suite's folder, the current one, and a data root."""
    for name in ("suites", "here", "root"):
        (tmp_path / name).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "here")
    return Places(tmp_path / "root", None, (tmp_path / "suites", Path()))


def fill(folder: Path) -> None:
    """All that the suite names, in ``folder``."""
    for name in ("pictures/a", "pictures/b", "my/adapter/here"):
        (folder / name).mkdir(parents=True)
    (folder / "w.pt").touch()


def paths_of(suite: Suite) -> list[Any]:
    return [
        suite.data.path,
        suite.backbone and suite.backbone.weights,
        getattr(suite.models[1].adaptation, "path", None),
    ]


def test_the_suites_folder_comes_first_then_the_current_one(
    suite: Suite, places: Places, tmp_path: Path
) -> None:
    fill(tmp_path / "here")
    here = paths_of(located(suite, places)[0])
    assert here == [str(tmp_path / "here" / "pictures"), "w.pt", "my/adapter/here"]
    fill(tmp_path / "suites")
    beside = paths_of(located(suite, places)[0])
    assert beside == [str(tmp_path / "suites" / path) for path in ("pictures", "w.pt", "my/adapter/here")]
    assert paths_of(suite) == [
        "pictures",
        "w.pt",
        "my/adapter/here",
    ], "the declaration stays as it was written"


def test_data_lie_under_the_data_root_too(suite: Suite, places: Places, tmp_path: Path) -> None:
    fill(tmp_path / "root")
    found, lost = located(suite, places)
    assert found.data.path == str(tmp_path / "root" / "pictures")
    assert [error.where for error in lost] == [("backbone", "weights"), ("models", 1, "adaptation", "path")]


def test_a_relative_data_root_counts_once(suite: Suite, places: Places, tmp_path: Path) -> None:
    fill(tmp_path / "here" / "data")
    found, _ = located(suite, replace(places, root=Path("data")))
    assert found.data.path == str(tmp_path / "here" / "data" / "pictures")


def test_what_is_nowhere_is_named_with_all_places_that_were_looked_at(
    suite: Suite, places: Places, tmp_path: Path
) -> None:
    suites, here, root = (tmp_path / name for name in ("suites", "here", "root"))
    said = {
        (
            "data",
            "path",
        ): (
            "pictures: no such folder; put the images there, one folder per class, or correct path or"
            f" --data-root; looked for {suites}/pictures (beside the suite), {here}/pictures (in the current"
            f" folder), {root}/pictures (under the data root)"
        ),
        ("backbone", "weights"): (
            f"w.pt: no such file; looked for {suites}/w.pt (beside the suite), "
            f"{here}/w.pt (in the current folder)"
        ),
        ("models", 1, "adaptation", "path"): (
            "my/adapter/here: no such adapter folder; looked for "
            f"{suites}/my/adapter/here (beside the suite), {here}/my/adapter/here (in the current folder)"
        ),
    }
    assert {error.where: str(error) for error in located(suite, places)[1]} == said


@pytest.mark.parametrize("path", ["x" * 5000 + ".pt", "a\0b.pt", "/nowhere/w.pt"])
def test_a_path_that_cannot_be_is_refused(path: str, suite: Suite, places: Places, tmp_path: Path) -> None:
    fill(tmp_path / "here")
    assert suite.backbone is not None
    asked = suite.model_copy(update={"backbone": suite.backbone.model_copy(update={"weights": path})})
    (error,) = located(asked, places)[1]
    assert "no such file" in str(error)
    assert len(str(error)) < 1000


def test_a_tilde_is_the_home_of_the_user(
    suite: Suite, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert suite.backbone is not None

    def asked(path: str) -> Suite:
        return suite.model_copy(update={"backbone": suite.backbone.model_copy(update={"weights": path})})  # type: ignore[union-attr]

    (tmp_path / "mine.pt").touch()
    assert paths_of(located(asked("~/mine.pt"), places)[0])[1] == str(tmp_path / "mine.pt")
    (error,) = located(asked("~/gone.pt"), places)[1]
    assert str(error) == f"~/gone.pt: no such file ({tmp_path}/gone.pt)"


def test_a_name_that_can_be_of_the_hub_is_left_to_it(suite: Suite, places: Places, tmp_path: Path) -> None:
    fill(tmp_path / "here")
    hub = suite.models[1].adaptation.model_copy(update={"path": "somebody/adapter"})
    asked = suite.model_copy(update={"models": (suite.models[1].model_copy(update={"adaptation": hub}),)})
    found, lost = located(asked, places)
    assert (found.models, lost) == (asked.models, [])
    (tmp_path / "suites" / "somebody" / "adapter").mkdir(parents=True)
    beside = located(asked, places)[0].models[0].adaptation
    assert getattr(beside, "path", None) == str(tmp_path / "suites" / "somebody" / "adapter")


def test_where_it_was_found_enters_no_key(suite: Suite, places: Places, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = resnet18(num_classes=2).state_dict()
    keys = []
    for name in ("suites", "here"):
        folder = tmp_path / name
        for image in ("pictures/a/0.png", "pictures/b/0.png"):
            (folder / image).parent.mkdir(parents=True)
            Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / image)
        torch.save(network, folder / "w.pt")
        alone = suite.model_copy(update={"models": suite.models[:1]})
        job = make_job(alone, replace(places, near=(folder, Path("/"))))
        keys.append(
            (job.samples.content_hash, job.samples.ids, *(recipe.key for recipe in job.recipes.values()))
        )
        assert job.suite == alone
    assert keys[0] == keys[1]


def test_a_run_knows_where_its_suite_was_and_is_made_again_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    where = _suite_folder(Options(tmp_path, near=(Path("suites"), Path())))
    assert where == {FOLDER: str(tmp_path / "suites")}
    run = StoredRun(store_scene(tmp_path / "results", Scene(provenance={**PROVENANCE, **where})))
    assert not any(FOLDER in origin for origin in run.header.origins.values()), (
        "it is no part of what a cell is known by"
    )
    given = []
    monkeypatch.setattr("bench.api.reproduce.Suite.model_validate", lambda _: None)

    def fail(_: Any, options: Options, __: Any) -> None:
        given.append(options.near)
        raise SuiteError("w.pt: no such weights file", ("backbone", "weights"))

    monkeypatch.setattr("bench.api.reproduce.run_suite", fail)
    assert main(["reproduce", str(run.path)]) == 2
    assert given == [(tmp_path / "suites", Path())]
    assert (
        "its suite asks for what is not available: backbone.weights: w.pt: no such weights file"
        in capsys.readouterr().err
    )


LINES = {
    "data path": ("path: pictures", "path: elsewhere", 4, "elsewhere: no such folder"),
    "class": ("classes: [a, b]", "classes: [a, c]", 5, "no class 'c'"),
    "excluded class": ("size: 16\n", "size: 16\n  exclude: [q]\n", 7, "no class 'q'"),
    "architecture": (
        "architecture: resnet18",
        "architecture: resnet81",
        8,
        "torchvision has no model 'resnet81'",
    ),
    "weights file": ("weights: w.pt", "weights: v.pt", 9, "v.pt: no such file"),
    "weights that are none": ("weights: w.pt", "weights: broken.pt", 9, "broken.pt"),
    "weights of torchvision": ("weights: w.pt", "weights: NOTHING", 9, "resnet18 has no weights 'NOTHING'"),
    "adapter": ("path: my/adapter/here", "path: my/other/one", 16, "my/other/one: no such adapter folder"),
    "adapter without files": (
        "path: my/adapter/here",
        "path: my/adapter",
        16,
        "my/adapter: no adapter_config.json here",
    ),
    "targets": (
        "method: peft\n      path: my/adapter/here",
        "method: lora\n      targets: [fcc]",
        16,
        "target 'fcc'",
    ),
    "method": ("method: peft\n", "method: pefft\n", 15, "unknown value 'pefft'"),
}


@pytest.mark.parametrize("case", LINES)
def test_an_error_names_the_line_of_its_own_key(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, line, said = LINES[case]
    fill(tmp_path)
    (tmp_path / "broken.pt").write_text("<html>not found</html>")
    for name in "ab":
        for i in range(2):
            Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(tmp_path / "pictures" / name / f"{i}.png")
    torch.save(resnet18(num_classes=2).state_dict(), tmp_path / "w.pt")
    assert SUITE.count(old) == 1
    file = tmp_path / "paths.yaml"
    file.write_text(SUITE.replace(old, new))
    assert main(["run", str(file), "--results", str(tmp_path / "results")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"bench: {file}:{line}: "), err
    assert said in err


def test_what_a_model_says_itself_is_named_there(tmp_path: Path) -> None:
    from bench.suite.suite import place_of

    file = tmp_path / "suite.yaml"
    file.write_text(
        "name: x\ntraining:\n  lr: 1\nmodels:\n  - name: a\n    training:\n      lr: 2\n  - name:"
        " b\nmatrix:\n  r: [1]\n"
    )
    lines = {
        ("models", 0, "training", "lr"): 7,
        ("models", 1, "training", "lr"): 3,
        ("models", 1, "adaptation", "targets"): 8,
        ("models", 2, "training", "lr"): 3,
        ("models", 2, "adaptation", "targets"): 9,
        ("models", 0): 5,
        ("data", "path"): 1,
    }
    assert {where: place_of(file, SuiteError("", where)) for where in lines} == {
        w: f"{file}:{n}" for w, n in lines.items()
    }


def test_the_innermost_place_counts() -> None:
    from adapters.errors import about, within
    from bench.errors import asked_at

    with (
        pytest.raises(SuiteError) as caught,
        asked_at("models", 0),
        within("backbone"),
        about("architecture"),
        about("weights"),
    ):
        raise UserError("x")
    assert caught.value.where == ("models", 0, "backbone", "weights")
