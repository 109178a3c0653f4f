"""Every format of a verdict: goldens of the whole output, and each format's contract with its readers."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import xmlschema
from markdown_it import MarkdownIt
from rich.console import Console

from bench.cli.github import CUT, SUMMARY_BYTES, annotations, write_summary
from bench.comparison.compare import compare
from bench.comparison.verdict import Verdict
from bench.render.junit import verdict_junit
from bench.render.verdict import verdict_table
from bench.render.verdict_text import verdict_csv, verdict_json, verdict_markdown
from tests.builders.golden import assert_golden
from tests.builders.snapshots import flags, make_snapshot

N = 160
STARTED = "2026-01-01T00:00:00"


@pytest.fixture
def verdict() -> Verdict:
    """A failed gate with one of everything: a change, noise, a missing cell, a crashed one, and a new one."""
    same = {"fgsm 1/255": flags(2, N)}
    old = {
        "pgd 8/255": flags(100, N),
        "fgsm 8/255": flags(40, N),
        "apgd 8/255": flags(9, N),
        "gone 8/255": flags(9, N),
    }
    new = {"pgd 8/255": flags(40, N), "fgsm 8/255": np.roll(flags(40, N), 1), "new 8/255": flags(1, N)}
    after = make_snapshot("latest", new | same, weights="v", errors=["apgd 8/255"])
    return compare(make_snapshot("reference", old | same), after, gated=True)


@pytest.fixture
def exact() -> Verdict:
    """Two runs of which only the code differs, which 25 samples notice."""
    before = make_snapshot("reference", {"pgd 8/255": flags(30, N)})
    changed = {"commit": "b" * 40, "code": "d" * 64}
    return compare(
        before, make_snapshot("latest", {"pgd 8/255": flags(5, N)}, provenance=changed), gated=True
    )


def printed(verdict: Verdict, *, every_row: bool, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(verdict_table(verdict, console.width, every_row=every_row))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("name", ["verdict", "exact"])
def test_goldens(name: str, request: pytest.FixtureRequest) -> None:
    found: Verdict = request.getfixturevalue(name)
    assert_golden(f"{name}.txt", printed(found, every_row=False))
    assert_golden(f"{name}.all.txt", printed(found, every_row=True))
    assert_golden(f"{name}.json", verdict_json(found) + "\n")
    assert_golden(f"{name}.csv", verdict_csv(found) + "\n")
    assert_golden(f"{name}.md", verdict_markdown(found, every_row=True) + "\n")
    assert_golden(f"{name}.xml", verdict_junit(found, STARTED) + "\n")


@pytest.mark.parametrize("schema", ["junit-ant.xsd", "junit-jenkins.xsd"])
def test_junit_is_valid(verdict: Verdict, exact: Verdict, schema: str) -> None:
    schema_file = xmlschema.XMLSchema(Path(__file__).parent.parent / schema)
    empty = compare(make_snapshot("a", {"pgd 8/255": flags(1, N)}), make_snapshot("b", {}), gated=True)
    for found in (verdict, exact, empty):
        schema_file.validate(verdict_junit(found, STARTED))
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema_file.validate(verdict_junit(verdict, STARTED).replace("testcase", "case"))


def test_junit_counts_failures_and_errors(verdict: Verdict) -> None:
    suite = ET.fromstring(verdict_junit(verdict, STARTED))[0]  # noqa: S314 (our own output)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("7", "1", "3")
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["0/pgd/foolbox/8/255"]


def test_junit_of_an_ungated_comparison_has_no_failure() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(100, N)})
    changed = compare(before, make_snapshot("b", {"pgd 8/255": flags(0, N)}, weights="v"))
    assert changed.word == "changed"
    assert "<failure" not in verdict_junit(changed, STARTED)


def test_junit_names_a_cell_once() -> None:
    before = make_snapshot("a", {"pgd 8/255": flags(1, 5)})
    blind = compare(before, make_snapshot("b", {"pgd 8/255": flags(1, 5)}, weights="v"), gated=True)
    text = verdict_junit(blind, STARTED)
    assert blind.word == "incomplete"
    assert (text.count("<testcase"), text.count("<error")) == (2, 2)
    assert "only 5 shared samples" in text


def test_json_has_the_contract_s_keys(verdict: Verdict) -> None:
    data = json.loads(verdict_json(verdict))
    assert {"schema_version", "verdict", "exit_code", "rows", "missing", "new", "not_comparable"} <= set(data)
    assert (data["verdict"], data["exit_code"]) == ("fail", 3)


def test_csv_has_a_line_per_row_and_problem(verdict: Verdict) -> None:
    lines = list(csv.DictReader(io.StringIO(verdict_csv(verdict))))
    outcomes = [line["outcome"].split(":")[0] for line in lines]
    assert outcomes == ["failed", "not shown", "same", "same", "missing", "error", "new"]


def test_markdown_table_survives_names_with_bars(verdict: Verdict) -> None:
    lines = [line for line in verdict_markdown(verdict, every_row=True).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {11}


def test_step_summary_is_appended_and_kept_within_github_s_limit(verdict: Verdict, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("earlier\n")
    write_summary(verdict, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text().startswith("earlier\n### ")
    file.write_text("x" * (SUMMARY_BYTES - 600))
    write_summary(verdict, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.stat().st_size <= SUMMARY_BYTES
    assert file.read_text().endswith(CUT)


def test_annotations_name_the_worst_cells_and_cannot_be_broken_out_of(verdict: Verdict) -> None:
    lines = list(annotations(verdict))
    assert lines[0].startswith("::error title=hand|made::gate: FAIL")
    assert lines[1].startswith(
        "::error title=lora/0/pgd/foolbox/8/255::asr 62.5 %25 -> 25.0 %25 (-37.5 points"
    )
    assert lines[2] == "::error title=lora/0/apgd/foolbox/8/255::RuntimeError: <planted>"
    assert not any("\n" in line for line in lines)


def test_passing_gate_annotates_nothing() -> None:
    same = make_snapshot("a", {"pgd 8/255": flags(3, N)})
    assert list(annotations(compare(same, same, gated=True))) == []


def test_markdown_is_a_table_to_a_markdown_reader(verdict: Verdict) -> None:
    html = MarkdownIt("commonmark").enable("table").render(verdict_markdown(verdict, every_row=True))
    assert html.count("<tr>") == 1 + len(verdict.rows)
    assert html.count("<td") == 10 * len(verdict.rows)
    assert "<td>lora/0/pgd/foolbox/8/255</td>" in html
    assert "RuntimeError: &lt;planted&gt;" in html
    assert html.startswith("<h3>hand|made: gate: FAIL")
