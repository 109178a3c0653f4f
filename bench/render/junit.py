"""Verdict -> JUnit XML, in the form that Ant's and Jenkins' schemas share.

A cell that the gate stops is a failure; one that crashed, is missing or cannot be compared is an error.
"""

import re
import xml.etree.ElementTree as ET  # only written here, never parsed
from collections.abc import Iterable

from bench.comparison.phrases import NOT_IN_REFERENCE, details, explain, headline
from bench.comparison.verdict import Problem, Row, Verdict
from bench.ids import RowId

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


def verdict_junit(verdict: Verdict, timestamp: str) -> str:
    """One test case per row and per cell without a comparison.

    ``timestamp`` is the run's start, ISO 8601 without a zone.
    """
    problems = [("missing", p) for p in verdict.missing] + [("error", p) for p in verdict.errors]
    problems += [("not comparable", p) for p in verdict.not_comparable]
    problems += [("new", Problem(cell, NOT_IN_REFERENCE)) for cell in verdict.new if verdict.gated]
    cases = [_case(row, verdict) for row in verdict.judged] + [_problem(kind, p) for kind, p in problems]
    if not cases:
        cases = [_nothing(verdict)]
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", _attributes(verdict, cases, timestamp))
    properties = ET.SubElement(suite, "properties")
    for name in ("before", "after", "word"):
        ET.SubElement(properties, "property", name=name, value=_clean(getattr(verdict, name)))
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = _clean("\n".join([headline(verdict), *details(verdict)]))
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _attributes(verdict: Verdict, cases: list[ET.Element], timestamp: str) -> dict[str, str]:
    return {
        "name": _clean(verdict.suite),
        "package": "bench",
        "id": "0",
        "timestamp": timestamp,
        "hostname": "localhost",
        "tests": str(len(cases)),
        "failures": _count(cases, "failure"),
        "errors": _count(cases, "error"),
        "time": "0",
    }


def _count(cases: Iterable[ET.Element], kind: str) -> str:
    return str(sum(case.find(kind) is not None for case in cases))


def _case(row: Row, verdict: Verdict) -> ET.Element:
    case = _element(row.cell)
    if verdict.gated and row.fails:
        ET.SubElement(case, "failure", message=_clean(explain(row)), type="changed").text = _clean(
            "\n".join([explain(row), *(f"{'+' if f.gained else '-'}{f.sample}" for f in row.flips)])
        )
    return case


def _problem(kind: str, problem: Problem) -> ET.Element:
    case = _element(problem.cell)
    ET.SubElement(case, "error", message=_clean(f"{kind}: {problem.reason}"), type=kind).text = _clean(
        problem.reason
    )
    return case


def _nothing(verdict: Verdict) -> ET.Element:
    case = ET.Element("testcase", name="cells", classname=f"bench.{_clean(verdict.suite)}", time="0")
    ET.SubElement(case, "error", message="no cell could be compared", type="empty")
    return case


def _element(cell: RowId) -> ET.Element:
    name = str(cell).removeprefix(f"{cell.model.name}/")
    return ET.Element("testcase", name=_clean(name), classname=_clean(f"bench.{cell.model.name}"), time="0")


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
