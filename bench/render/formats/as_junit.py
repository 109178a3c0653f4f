"""--format junit: a comparison as the test report that CI systems show."""

from typing import TYPE_CHECKING

from bench.render.formats.format import Format

if TYPE_CHECKING:
    from bench.comparison.verdict import Verdict


def _verdict(verdict: "Verdict", every_row: bool) -> str:  # noqa: ARG001 (it always has them all)
    from bench.render.junit import verdict_junit

    return verdict_junit(verdict, verdict.started)


JUNIT = Format("junit", verdict=_verdict)
