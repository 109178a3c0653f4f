"""Fixtures shared by all tests. Nothing here needs data or weights from outside."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.attacks.art  # noqa: F401 (settles ART's settings before any test imports it)
from adapters.classifier import Classifier
from adapters.images import ImageSet
from tests.builders.figures import FIGURES, Figure
from tests.builders.linear import linear_classifier, linear_samples


@pytest.fixture
def linear() -> Classifier:
    """The closed-form classifier."""
    return linear_classifier()


@pytest.fixture
def samples() -> ImageSet:
    """Samples for the closed-form classifier, a quarter of them predicted wrongly."""
    return linear_samples()


@pytest.fixture(autouse=True)
def private_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Trained models of the tests never mix with the user's, and go with their test."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    yield cache
    shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Takes a line to show at the end of the session."""
    lines: list[str] = request.config.stash.setdefault(FIGURES, [])
    return lines.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the figures, in the order of their points."""
    lines: list[str] = config.stash.get(FIGURES, [])
    for line in sorted(lines):
        terminalreporter.write_line(line)
