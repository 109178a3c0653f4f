"""References and run.json that others wrote, damaged or forged: the file and a reason, never a traceback."""

import json
import os
import random
import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import render
from bench.cli.commands import main
from bench.comparison.compare import compare
from bench.comparison.phrases import in_short
from bench.comparison.ranking import ranked
from bench.comparison.runs import against_reference
from bench.comparison.snapshot import Snapshot, from_file, from_text, snapshot_of
from bench.errors import NotComparableError, UserError
from bench.render.junit import verdict_junit
from bench.render.ranking import runs_json
from bench.render.report import to_html
from bench.render.verdict import verdict_table
from bench.render.verdict_text import verdict_csv, verdict_json, verdict_markdown
from bench.scoring.score import score
from bench.store import StoredRun
from bench.store.checksum import BLANK, from_json, seal, to_json
from bench.store.strangers import MAX_DEPTH, MAX_VALUES, parse
from tests.builders.figures import Figure
from tests.builders.mutated import mutated
from tests.builders.scene import Scene, scene_samples, store_with_reference


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one small run and its reference."""
    return store_with_reference(tmp_path_factory.mktemp("stored"), Scene(samples=scene_samples(24)))


@pytest.fixture(scope="module")
def run(stored: Path) -> StoredRun:
    return StoredRun(next(stored.glob("scene/2*")))


@pytest.fixture(scope="module")
def snapshot(run: StoredRun) -> Snapshot:
    return snapshot_of(run)


@pytest.fixture
def results(stored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stored, tmp_path / "results")


def judge(text: bytes, after: Snapshot) -> str:
    """Compare with the reference ``text`` and show the verdict in every format; the word, or "refused"."""
    try:
        verdict = compare(from_text(text, "stranger.json"), after, gated=True)
    except UserError as error:
        return _refused(error, "stranger.json", "gate")
    verdict_table(verdict, 80, every_row=True)
    for show in (verdict_json, verdict_csv, verdict_markdown):
        show(verdict)
    verdict_junit(verdict, "2026-01-01T00:00:00")
    return verdict.word


def _refused(error: UserError, *named: str) -> str:
    assert error.exit_code in (2, 4)
    assert any(name in str(error) for name in named), error
    return "refused"


def fuzz(document: Any, seeds: range, use: Callable[[bytes], str]) -> Counter[str]:
    """What ``use`` made of mutations of ``document``.

    Fails with the seed of the first that it escapes from, or hangs on.
    """
    found: Counter[str] = Counter()
    for seed in seeds:
        done, data = mutated(document, random.Random(seed))
        started = time.monotonic()
        try:
            found[use(data)] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {done}") from error
        assert time.monotonic() - started < 30, f"seed {seed}: {done}"
    return found


def test_mutated_references(stored: Path, snapshot: Snapshot) -> None:
    document = json.loads((stored / "reference" / "scene.json").read_text())
    found = fuzz(document, range(300), lambda data: judge(data, snapshot))
    assert found["refused"] > 100
    assert found["pass"], "some of the fields judge nothing"


@pytest.mark.slow
def test_many_mutated_references(stored: Path, snapshot: Snapshot, figure: Figure) -> None:
    document = json.loads((stored / "reference" / "scene.json").read_text())
    found = fuzz(document, range(10_000, 15_000), lambda data: judge(data, snapshot))
    figure(f"5 mutated references: {sum(found.values())}, of which {dict(found)}; 0 tracebacks")


def use_run(folder: Path, data: bytes, *, sealed: bool, drawn: bool) -> str:
    """Open the run whose run.json is ``data``, and show it in every way."""
    if sealed:
        try:
            fields = parse(data)
        except ValueError:
            fields = None
        data = to_json({**fields, "sha256": BLANK.decode()}) if isinstance(fields, dict) else data
        data = seal(data, data.index(BLANK)) if BLANK in data else data
    (folder / "run.json").write_bytes(data)
    runs_json(ranked(folder))
    try:
        run = StoredRun(folder)
        card = score(run)
        verdict = against_reference(run)
    except UserError as error:
        return _refused(error, "run.json", "gate", "no name of a suite")
    in_short(verdict)
    for show in (render.to_json, render.to_csv, render.to_markdown):
        show(card)
    render.leaderboard(card, 100)
    if drawn:
        to_html(card, run.header, verdict)
    return card.status


def test_mutated_runs(results: Path) -> None:
    folder = next(results.glob("scene/2*"))
    document, _ = from_json((folder / "run.json").read_bytes())
    found = fuzz(document, range(120), partial(use_run, folder, sealed=True, drawn=False))
    assert found["refused"] > 40
    assert found["complete"]


@pytest.mark.slow
def test_many_mutated_runs(results: Path, figure: Figure) -> None:
    folder = next(results.glob("scene/2*"))
    document, _ = from_json((folder / "run.json").read_bytes())
    for drawn, seeds in ((False, range(10_000, 12_000)), (True, range(20_000, 20_100))):
        found = fuzz(document, seeds, partial(use_run, folder, sealed=True, drawn=drawn))
        figure(f"5 mutated run.json: {sum(found.values())}, of which {dict(found)}; 0 tracebacks")


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """``file`` with ``change`` applied, and a checksum where it had one."""
    fields, sealed = from_json(file.read_bytes())
    change(fields)
    file.write_bytes(to_json(fields) if sealed else json.dumps(fields).encode())


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a number as text": (
        lambda d: d["models"][0].update(seed="0"),
        r"models\[0\].seed: Input should be a valid integer",
    ),
    "a truth for a number": (lambda d: d["models"][0].update(parameters=True), r"models\[0\].parameters: "),
    "a list for a text": (
        lambda d: d["cells"][3].update(attack=["pgd"]),
        r"cells\[3\].attack: Input should be a valid string",
    ),
    "a text for a list": (lambda d: d.update(cells="none"), "cells"),
    "nothing for a list": (lambda d: d.update(models=None), "models"),
    "an unknown field": (lambda d: d["cells"][0].update(colour="red"), r"cells\[0\].colour: "),
    "a missing field": (lambda d: d["models"][0].pop("sha256"), r"models\[0\].sha256: Field required"),
    "a cell twice": (lambda d: d["cells"].append(d["cells"][0]), "is there twice"),
    "a cell under another key": (
        lambda d: d["cells"].append({**d["cells"][0], "key": "other"}),
        "is there twice",
    ),
    "an eps that is none": (lambda d: d["cells"][0].update(eps="1/0"), r"cells\[0\].eps: "),
    "a headline that is none": (lambda d: d.update(headline_eps="eight"), "headline_eps: "),
    "a norm that is none": (lambda d: d["cells"][0].update(norm="l3"), r"cells\[0\].norm: "),
    "a pairing that is none": (lambda d: d["cells"][0].update(pairing="1/0"), r"cells\[0\].pairing: "),
    "a path for a key": (lambda d: d["cells"][0].update(key="../../x"), r"cells\[0\].key: "),
    "a path for a suite": (lambda d: d.update(suite_name="a/b"), "suite_name: "),
    "a huge number": (lambda d: d["models"][0].update(seed=2**70), r"models\[0\].seed: "),
    "no samples": (lambda d: d.update(samples=0), "samples: "),
    "provenance mistyped": (lambda d: d.update(provenance=[]), "provenance: "),
    "packages mistyped": (lambda d: d["provenance"].update(packages=["torch"]), "packages"),
    "a commit mistyped": (lambda d: d["provenance"].update(commit=5), "commit"),
    "origins mistyped": (lambda d: d.update(origins={"x": "y"}), "origins"),
    "the suite's models mistyped": (lambda d: d["suite"].update(models=["base"]), "suite"),
    "a newer version": (lambda d: d.update(schema_version=99), "written by a newer version"),
}
OF_A_REFERENCE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "short of labels": (lambda d: d["sample_labels"].pop(), "24 different samples of 24 have 23 labels"),
    "a sample twice": (
        lambda d: d["sample_ids"].__setitem__(1, d["sample_ids"][0]), "23 different samples of 24",
    ),
    "labels that are text": (lambda d: d.update(sample_labels=["0"] * 24), r"sample_labels\[0\]: "),
    "labels that are truths": (lambda d: d.update(sample_labels=[True] * 24), r"sample_labels\[0\]: "),
    "labels below nought": (lambda d: d.update(sample_labels=[-1] * 24), r"sample_labels\[0\]: "),
    "outcomes of fewer samples": (
        lambda d: d["cells"][0].update(seen="/w=="), "the outcomes of 8 samples, not of 24",
    ),
    "outcomes that are no base64": (lambda d: d["cells"][0].update(seen="?"), "is not a reference"),
    "outcomes that contradict": (
        lambda d: d["cells"][0].update(correct="AAAA", broken="AAAB"), "was not predicted correctly",
    ),
    "a grade that is none": (lambda d: d["cells"][0].update(trust="excellent"), r"cells\[0\].trust: "),
}  # fmt: skip
ALL = {**BROKEN, **{f"reference: {name}": case for name, case in OF_A_REFERENCE.items()}}


@pytest.mark.parametrize("case", ALL)
def test_a_reference_that_is_broken_is_named(case: str, results: Path) -> None:
    change, reason = ALL[case]
    file = results / "reference" / "scene.json"
    changed(file, change)
    with pytest.raises(NotComparableError, match=reason) as caught:
        from_file(file)
    assert str(caught.value).startswith(str(file))
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("case", BROKEN)
def test_a_run_that_is_broken_is_named(case: str, results: Path) -> None:
    change, reason = BROKEN[case]
    folder = next(results.glob("scene/2*"))
    changed(folder / "run.json", change)
    with pytest.raises(NotComparableError, match=reason) as caught:
        StoredRun(folder)
    assert str(caught.value).startswith(str(folder / "run.json"))


MODELS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a renamed model": (
        lambda d: d["models"][0].update(model="other"),
        "has cells of base/0, which is not among the models",
    ),
    "a model of another seed": (
        lambda d: d["models"][0].update(seed=1),
        "has cells of base/0, which is not among the models",
    ),
    "a model that is gone": (
        lambda d: d["models"].pop(),
        "has cells of lora/0, which is not among the models",
    ),
    "a model twice": (lambda d: d["models"].append(d["models"][0]), "has base/0 twice"),
}


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.parametrize("command", ["figures", "report", "compare"])
def test_a_renamed_model_on_the_command_line(
    command: str, case: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, reason = MODELS[case]
    folder = next(results.glob("scene/2*"))
    changed(folder / "run.json", change)
    more = {"compare": ["reference", str(folder), "--gate", "--results", str(results)]}.get(
        command, [str(folder), "-o", "x"]
    )
    assert main([command, *more]) == 4
    assert f"{folder}/run.json: {reason}" in capsys.readouterr().err


TEXTS = {
    "not UTF-8": (b'{"a": "\xff"}', "it is not UTF-8"),
    "no JSON": (b"{", "it is not JSON"),
    "empty": (b"", "it is not JSON"),
    "not a number": (b'{"a": NaN}', "it holds NaN"),
    "infinite": (b'{"a": -Infinity}', "it holds -Infinity"),
    "too large a number": (b'{"a": 1e999}', "it holds 1e999"),
    "twice": (b'{"a": {"b": 1, "b": 2}}', "the key 'b' is given twice"),
    "deep": (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "nested more than 64 levels deep"),
    "deeper than Python goes": (b"[" * 200_000 + b"]" * 200_000, "nested more than 64 levels deep"),
    "deep, in objects": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested more than 64 levels deep"),
    "many values": (b"[" + b"[]," * MAX_VALUES + b"[]]", "it holds more than 5,000,000 values"),
    "many digits": (b'{"a": ' + b"9" * 5_000 + b"}", "digits"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_that_nobody_here_wrote(case: str, results: Path) -> None:
    text, reason = TEXTS[case]
    file = results / "reference" / "scene.json"
    file.write_bytes(text)
    with pytest.raises(NotComparableError, match=reason):
        from_file(file)
    folder = next(results.glob("scene/2*"))
    (folder / "run.json").write_bytes(text)
    with pytest.raises(NotComparableError, match=reason):
        StoredRun(folder)


def test_files_that_are_no_files(results: Path) -> None:
    folder = next(results.glob("scene/2*"))
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")
    with pytest.raises(NotComparableError, match="it is not a regular file"):
        StoredRun(folder)
    file = results / "reference" / "scene.json"
    file.write_bytes(b"")
    os.truncate(file, 2**40)  # a hole: it takes no room on the disk
    with pytest.raises(NotComparableError, match="it is larger than 256 MiB"):
        from_file(file)


def test_memory_is_bounded() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="more than"):
        parse(b"[" + b"{}," * MAX_VALUES + b"{}]")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, (
        "KiB: it is refused before it is built"
    )


def test_the_committed_references_are_read() -> None:
    files = sorted((Path(__file__).parent.parent.parent / "results" / "reference").glob("*.json"))
    assert files
    assert all(from_file(file).outcomes for file in files)
