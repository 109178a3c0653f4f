"""Trust checks come from one registry: ours, and those of other packages."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.metadata import EntryPoint

import pytest

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.spec import Fgsm
from bench.engine.plan import Cell, Unit
from bench.engine.runner import make_target
from bench.ids import ModelId
from bench.scoring import checks as registry
from bench.scoring.trust import BUILT_IN, checks, judge_evidence
from bench.store.evidence import Evidence
from bench.trust.effort import Effort
from bench.trust.examine import Subject, examine
from bench.trust.recorder import subset


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Registers checks as packages of others do."""

    def register(**points: str) -> None:
        found = [
            EntryPoint(name, f"tests.builders.own_check:{value}", registry.ENTRY_POINT)
            for name, value in points.items()
        ]
        monkeypatch.setattr(
            registry, "entry_points", lambda group: found if group == registry.ENTRY_POINT else []
        )
        checks.cache_clear()

    yield register
    monkeypatch.undo()
    checks.cache_clear()


def examined(
    model: Classifier,
    samples: ImageSet,
    attack: Fgsm = Fgsm(attack="fgsm"),  # noqa: B008 (frozen)
) -> dict[str, Evidence]:
    unit = Unit(ModelId("m", 0), attack, "foolbox", (Cell(Fraction(8, 255), "c"),))
    subject = Subject(model, make_target(model, samples, 64), Fraction(8, 255), libraries=("foolbox", "art"))
    return {e.check: e for e in examine(subject, Effort({unit: 9}, 2, 2, 8))}


def test_a_check_of_another_package_is_measured_and_graded(
    entry_points: Callable[..., None], linear: Classifier, samples: ImageSet
) -> None:
    usual = set(examined(linear, samples))
    entry_points(mine="CHECK")
    found = examined(linear, samples)
    assert set(found) - usual == {"brightness"}
    assert (found["brightness"].value, found["brightness"].n) == (0.0, 8)
    assert [(f.check, f.grade) for f in judge_evidence([found["brightness"]])] == [("brightness", "pass")]
    assert checks()["brightness"].source == "Our own dark room, 2026."


def test_a_check_of_attacks_is_asked_of_each_that_it_applies_to(
    entry_points: Callable[..., None], linear: Classifier, samples: ImageSet
) -> None:
    """FGSM moves each value of a linear model by the sign of its weight, and three of four red ones are
    positive: towards the second class an image reddens."""
    usual = examined(linear, samples)
    entry_points(mine="OF_ATTACKS")
    found = examined(linear, samples)
    assert {name: e for name, e in found.items() if name != "redder"} == usual
    few = subset(make_target(linear, samples, 64), 9).samples
    e = found["redder"]
    assert (e.model, e.attack, e.library, e.n) == ("m", "fgsm", "foolbox", 9)
    assert e.value == pytest.approx((few.labels == 0).mean())
    assert 0 < (few.labels == 0).sum() < 9
    assert "redder" not in examined(linear, samples, Fgsm(attack="fgsm", norm="l2"))


def test_a_check_that_raises_is_a_warning_and_the_others_stand(
    entry_points: Callable[..., None], linear: Classifier, samples: ImageSet
) -> None:
    usual = examined(linear, samples)
    entry_points(bad="RAISES")
    found = examined(linear, samples)
    assert {name: e.value for name, e in found.items() if name != "raises"} == {
        name: e.value for name, e in usual.items()
    }
    (finding,) = judge_evidence([found["raises"]])
    assert (finding.grade, finding.detail) == ("warn", "RuntimeError: 2 is too many")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("NAMESAKE", "the name 'wrappers' is taken"),
        ("brightness", "it is a function, not a Check"),
        ("gone", "AttributeError"),
    ],
)
def test_a_broken_package_costs_its_own_check_only(
    value: str, said: str, entry_points: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    entry_points(bad=value)
    with caplog.at_level(logging.WARNING):
        assert tuple(checks().values()) == BUILT_IN
    assert said in caplog.text


def test_evidence_of_a_check_that_is_not_known_here_says_nothing() -> None:
    (finding,) = judge_evidence([Evidence("brightness", "m", 0, None, None, 1.0, 8, "all dark")])
    assert finding.grade == "unchecked"


def test_every_check_says_where_it_is_from_and_what_it_costs() -> None:
    assert all(check.source for check in BUILT_IN if check.name not in {"company"})
    assert sum(check.cost for check in BUILT_IN) == 40, "what a suite spends on them hangs on it"


def test_grading_needs_no_torch() -> None:
    program = "import sys; from bench.scoring.trust import checks; checks(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
