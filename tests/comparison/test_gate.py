"""Planted regressions: each gives the right verdict, cause and exit code, by the command line as in CI."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.attacks.spec import Pgd
from bench.cli.commands import main
from bench.store.checksum import from_json, to_json
from tests.builders.linear import WEIGHT
from tests.builders.scene import (
    BROKEN,
    PROVENANCE,
    ROBUST,
    STURDY,
    Scene,
    relabelled,
    scene_samples,
    store_scene,
    store_with_reference,
)

Gate = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run and the reference made of it."""
    return store_with_reference(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def results(stored: Path, tmp_path: Path) -> Path:
    """A private copy of ``stored``."""
    return shutil.copytree(stored, tmp_path / "results")


@pytest.fixture
def gate(results: Path, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Gate a run (default: the latest) against the reference: (exit code, the JSON on standard output)."""

    def run(after: Path | str = "latest", *more: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(
            [
                "compare",
                "reference",
                str(after),
                "--gate",
                "--results",
                str(results),
                "--format",
                "json",
                *more,
            ]
        )
        out = capsys.readouterr().out
        found = json.loads(out) if out else {}
        if found:
            assert found["exit_code"] == code, "the printed verdict and the exit code must not disagree"
        return code, found

    return run


def kinds(verdict: dict[str, Any]) -> set[str]:
    return {cause["kind"] for cause in verdict["causes"]}


def failed(verdict: dict[str, Any], **chosen: str) -> set[tuple[str, ...]]:
    rows = [
        r for r in verdict["rows"] if r["outcome"] == "failed" and all(r[k] == v for k, v in chosen.items())
    ]
    return {tuple(str(row[k]) for k in ("model", "attack", "library", "eps")) for row in rows}


def test_the_same_run_passes(gate: Gate) -> None:
    code, verdict = gate()
    assert (code, verdict["verdict"]) == (0, "pass")
    assert len(verdict["rows"]) == 2 * 2 * 2 * 3 + 2
    assert all(row["exact"] and row["outcome"] == "same" for row in verdict["rows"])


def test_attack_weakened_in_the_code(gate: Gate, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pgd, "step_at", lambda _, eps: eps * 0.02)
    code, verdict = gate(
        store_scene(results, Scene(provenance={**PROVENANCE, "commit": "b" * 40, "code": "d" * 64}))
    )
    assert (code, verdict["verdict"], kinds(verdict)) == (3, "fail", {"code"})
    assert {attack for _, attack, _, _ in failed(verdict)} == {"pgd"}
    assert {row["attack"] for row in verdict["rows"] if row["trust"] == "fail"} == {"pgd"}, (
        "it is weaker than FGSM"
    )
    assert "aaaaaaaaaaaa -> bbbbbbbbbbbb" in verdict["causes"][0]["text"]
    row = next(r for r in verdict["rows"] if r["outcome"] == "failed")
    assert row["exact"]
    assert len(row["flips"]) == row["lost"] > 0
    assert row["gained"] == 0


def test_attack_weakened_in_the_suite(gate: Gate, results: Path) -> None:
    weak = Pgd(attack="pgd", name="pgd", steps=1, rel_step_size=0.1)
    code, verdict = gate(store_scene(results, replace(Scene(), attacks=(Scene().attacks[0], weak))))
    assert (code, kinds(verdict)) == (3, {"attack"})
    assert "steps 10 -> 1" in verdict["causes"][0]["text"]
    assert {attack for _, attack, _, _ in failed(verdict)} == {"pgd"}


def test_more_robust_model(gate: Gate, results: Path) -> None:
    robust = replace(Scene(), models={"base": Scene().models["base"], "lora": ROBUST})
    code, verdict = gate(store_scene(results, robust))
    assert (code, kinds(verdict)) == (3, {"model"})
    assert {model for model, _, _, _ in failed(verdict)} == {"lora"}
    assert "the weights of lora/0 differ" in verdict["causes"][0]["text"]
    moved = [r for r in verdict["rows"] if r["outcome"] == "failed"]
    assert all(r["after"] < r["before"] and r["p_adjusted"] < 0.05 and not r["exact"] for r in moved)


def test_more_robust_model_passes_a_gate_that_watches_for_worse(gate: Gate, results: Path) -> None:
    declare(results, direction="worse")
    robust = Scene(models={"base": Scene().models["base"], "lora": ROBUST}, gate={"direction": "worse"})
    code, verdict = gate(store_scene(results, robust))
    assert (code, verdict["verdict"]) == (0, "pass")
    assert any(r["outcome"] == "changed" for r in verdict["rows"])


def test_broken_adapter_fails_by_its_clean_accuracy(gate: Gate, results: Path) -> None:
    broken = Scene(models={"base": Scene().models["base"], "lora": BROKEN})
    code, verdict = gate(store_scene(results, broken))
    assert (code, kinds(verdict)) == (3, {"model"})
    accuracy = next(r for r in verdict["rows"] if r["metric"] == "accuracy" and r["model"] == "lora")
    assert accuracy["outcome"] == "failed"
    assert accuracy["before"] == 1
    assert accuracy["after"] < 0.8


def test_swapped_label_file_is_not_comparable(gate: Gate, results: Path) -> None:
    code, verdict = gate(store_scene(results, replace(Scene(), samples=relabelled(scene_samples()))))
    assert (code, verdict["verdict"], verdict["rows"]) == (4, "incomplete", [])
    assert len(verdict["not_comparable"]) == 24
    assert verdict["not_comparable"][0]["reason"] == "120 of 120 shared samples have another label"
    assert [d["kind"] for d in verdict["drifts"]] == ["data"]


def test_other_pixels_under_the_same_ids_are_not_comparable(gate: Gate, results: Path) -> None:
    samples = scene_samples()
    code, verdict = gate(
        store_scene(results, replace(Scene(), samples=replace(samples, images=samples.images + 1)))
    )
    assert code == 4
    assert "different content" in verdict["not_comparable"][0]["reason"]


def test_samples_of_the_reference_that_are_missing_do_not_pass(gate: Gate, results: Path) -> None:
    samples = scene_samples()
    code, verdict = gate(
        store_scene(results, replace(Scene(), samples=samples.take(samples.labels.nonzero()[0])))
    )
    assert (code, verdict["verdict"], verdict["rows"]) == (4, "incomplete", [])
    assert {p["reason"] for p in verdict["not_comparable"]} == {
        "60 of 120 samples of the reference are missing"
    }


def test_samples_beside_those_of_the_reference_do_not_pass(gate: Gate, results: Path) -> None:
    code, verdict = gate(store_scene(results, replace(Scene(), samples=scene_samples(130))))
    assert (code, verdict["rows"]) == (4, [])
    reason = "10 samples are not in the reference: the content of the others could not be checked"
    assert {p["reason"] for p in verdict["not_comparable"]} == {reason}


def test_without_a_gate_runs_are_paired_on_the_samples_that_they_share(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = scene_samples()
    path = store_scene(results, replace(Scene(), samples=samples.take(samples.labels.nonzero()[0])))
    capsys.readouterr()
    assert main(["compare", "reference", str(path), "--results", str(results), "--format", "json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert {row["n"] for row in verdict["rows"]} == {60}
    assert [d["kind"] for d in verdict["drifts"]] == ["data", "data"]
    assert "60 samples are shared, of 120 and 60: whether their content" in verdict["drifts"][1]["text"]
    assert main(["compare", "reference", str(path), "--results", str(results)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "takes 11 flips one way, 18 points of 60 samples" in said
    assert said.count("no change by it is shown, which does not prove that there is none") == 2


def test_too_few_samples_to_show_anything_do_not_pass(gate: Gate, results: Path) -> None:
    samples = scene_samples()
    few = samples.take(samples.labels.nonzero()[0][:5])
    path = store_scene(results, replace(Scene(), samples=few))
    assert main(["reference", "update", str(path), "--results", str(results)]) == 0
    code, verdict = gate(
        store_scene(results, Scene(models={"base": WEIGHT * 3, "lora": WEIGHT * 4}, samples=few))
    )
    assert code == 4
    assert "only 5 shared samples" in verdict["not_comparable"][0]["reason"]


def test_one_missing_cell(gate: Gate, results: Path) -> None:
    run = next(results.glob("scene/[!.]*"))
    sorted(run.glob("cells/*.parquet"))[0].unlink()
    code, verdict = gate(run)
    assert (code, verdict["verdict"], len(verdict["missing"] + verdict["errors"])) == (4, "incomplete", 1)
    assert len(verdict["rows"]) == 25


def test_broken_cell_file_is_an_error(gate: Gate, results: Path) -> None:
    run = next(results.glob("scene/[!.]*"))
    sorted(run.glob("cells/*.parquet"))[0].write_bytes(b"PAR1 no more")
    code, verdict = gate(run)
    assert (code, len(verdict["errors"])) == (4, 1)
    assert ".parquet" in verdict["errors"][0]["reason"]


def test_crashed_attack_is_an_error(gate: Gate, results: Path) -> None:
    code, verdict = gate(store_scene(results, failing="pgd"))
    assert (code, verdict["verdict"], len(verdict["errors"])) == (4, "incomplete", 12)
    assert verdict["errors"][0]["reason"] == "RuntimeError: planted"


def test_attack_dropped_and_attack_added(gate: Gate, results: Path) -> None:
    other = Pgd(attack="pgd", steps=3)
    code, verdict = gate(store_scene(results, replace(Scene(), attacks=(Scene().attacks[0], other))))
    assert code == 4
    assert {p["attack"] for p in verdict["missing"]} == {"pgd"}
    assert {cell["attack"] for cell in verdict["new"]} == {"pgd-3"}


def test_nothing_in_common_is_zero_cells(gate: Gate, results: Path) -> None:
    code, verdict = gate(store_scene(results, replace(Scene(), models={"another": ROBUST})))
    assert (code, verdict["verdict"], verdict["rows"]) == (4, "incomplete", [])


def test_other_library_version_with_equal_numbers_is_named_and_passes(gate: Gate, results: Path) -> None:
    packages = {**PROVENANCE["packages"], "foolbox": "3.4.0"}
    code, verdict = gate(store_scene(results, Scene(provenance={**PROVENANCE, "packages": packages})))
    assert (code, verdict["verdict"], verdict["causes"]) == (0, "pass", [])
    assert verdict["drifts"] == [{"kind": "library", "text": "foolbox 3.3.4 -> 3.4.0"}]
    assert {row["exact"] for row in verdict["rows"] if row["library"] == "foolbox"} == {False}
    assert {row["exact"] for row in verdict["rows"] if row["library"] != "foolbox"} == {True}


def test_other_library_version_that_moves_numbers(
    gate: Gate, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pgd, "step_at", lambda _, eps: eps * 0.02)
    packages = {**PROVENANCE["packages"], "adversarial-robustness-toolbox": "1.21.0", "foolbox": "3.4.0"}
    code, verdict = gate(store_scene(results, Scene(provenance={**PROVENANCE, "packages": packages})))
    assert (code, kinds(verdict)) == (3, {"library"})
    assert {c["text"] for c in verdict["causes"]} == {
        "foolbox 3.3.4 -> 3.4.0", "adversarial-robustness-toolbox 1.20.1 -> 1.21.0"
    }  # fmt: skip


@pytest.mark.parametrize("where", ["scene/*/run.json", "reference/scene.json"])
def test_newer_schema_version_is_refused(
    where: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(next(results.glob(where)), schema_version=99)
    code = main(
        ["compare", "reference", str(next(results.glob("scene/[!.]*"))), "--gate", "--results", str(results)]
    )
    said = capsys.readouterr()
    assert code == 4
    assert "written by a newer version (schema 99" in said.err
    assert not said.out


def test_older_schema_version_is_read_and_what_it_lacks_is_named(gate: Gate, results: Path) -> None:
    file = results / "reference" / "scene.json"
    provenance = {k: v for k, v in PROVENANCE.items() if k not in {"processor", "command"}}
    rewrite(file, schema_version=0, provenance=provenance, origins={})
    code, verdict = gate()
    assert (code, verdict["verdict"]) == (0, "pass")
    assert verdict["drifts"] == [{"kind": "environment", "text": "processor not recorded -> P"}]
    assert not any(row["exact"] for row in verdict["rows"])


@pytest.mark.parametrize(("text", "said"), [("{}", "is not a reference"), (None, "scene has no reference")])
def test_a_reference_that_is_broken_or_missing_does_not_pass(
    text: str | None, said: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = results / "reference" / "scene.json"
    file.unlink() if text is None else file.write_text(text)
    assert main(["compare", "reference", "latest", "--gate", "--results", str(results)]) == 4
    assert said in capsys.readouterr().err


def test_equal_provenance_and_other_numbers_is_called_not_reproducible(
    gate: Gate, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pgd, "step_at", lambda _, eps: eps * 0.02)
    code, verdict = gate(store_scene(results))
    assert (code, kinds(verdict)) == (3, {"unexplained"})


def test_override_holds_for_its_cells_only(gate: Gate, results: Path) -> None:
    declare(results, overrides=[{"cells": "lora/*", "min_effect": 1.0}])
    robust = Scene(models={"base": ROBUST * 3, "lora": ROBUST})
    code, verdict = gate(store_scene(results, robust))
    assert code == 3
    assert {model for model, _, _, _ in failed(verdict)} == {"base"}


def test_override_that_matches_nothing_is_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store_scene(results, Scene(gate={"overrides": [{"cells": "lroa/*", "min_effect": 1.0}]}))
    capsys.readouterr()
    assert main(["compare", "reference", str(path), "--gate", "--results", str(results)]) == 2
    assert "'lroa/*' matches no cell" in capsys.readouterr().err


def test_retrained_models_have_their_own_minimum_effect(gate: Gate, results: Path) -> None:
    declare(results, retrained_min_effect=1)
    code, verdict = gate(store_scene(results, Scene(models={"base": Scene().models["base"], "lora": STURDY})))
    assert code == 0
    assert min(r["difference"] for r in verdict["rows"]) < -0.6
    assert {r["min_effect"] for r in verdict["rows"] if r["model"] == "lora"} == {1}
    assert {r["min_effect"] for r in verdict["rows"] if r["model"] == "base"} == {0.02}


def test_an_attack_that_finds_next_to_nothing_fails_even_where_models_were_trained_again(
    gate: Gate, results: Path
) -> None:
    declare(results, retrained_min_effect=1)
    code, verdict = gate(store_scene(results, Scene(models={"base": Scene().models["base"], "lora": ROBUST})))
    assert code == 3
    assert {(model, eps) for model, _, _, eps in failed(verdict)} == {("lora", "32/255")}
    assert len(failed(verdict)) == 4


def test_a_change_cannot_loosen_the_gate_that_it_passes(
    gate: Gate, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pgd, "step_at", lambda _, eps: eps * 0.02)
    loose = Scene(models={"base": WEIGHT * 3, "lora": WEIGHT * 4}, gate={"min_effect": 1.0})
    path = store_scene(results, loose)
    code, verdict = gate(path)
    assert (code, verdict["gate"]["min_effect"]) == (3, 0.02)
    assert {attack for _, attack, _, _ in failed(verdict)} == {"pgd"}
    assert verdict["drifts"][0] == {
        "kind": "gate", "text": "min_effect 0.02 -> 1.0 (judged as before, until `bench reference update`)"
    }  # fmt: skip
    assert main(["reference", "update", str(path), "--results", str(results)]) == 0
    assert "gate drift: min_effect 0.02 -> 1.0" in " ".join(capsys.readouterr().out.split())
    assert gate(path)[1]["gate"]["min_effect"] == 1.0


def declare(results: Path, **gate: Any) -> None:
    """Make ``gate`` that of the reference."""
    file = results / "reference" / "scene.json"
    rewrite(file, suite={**json.loads(file.read_text())["suite"], "gate": gate})


def rewrite(file: Path, **changes: Any) -> None:
    fields, sealed = from_json(file.read_bytes())
    file.write_bytes(to_json({**fields, **changes}) if sealed else json.dumps({**fields, **changes}).encode())
