"""Every known-broken defence is flagged, by the right check; honest networks are not."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

from adapters.classifier import Classifier
from adapters.zoo import Zoo
from bench.attacks.spec import Fgsm, Pgd
from bench.evidence import Evidence
from bench.job import Job, default_cache, make_job
from bench.plan import Cell, Unit
from bench.records import CellOutcomes, Records
from bench.runner import Target, make_target, run_unit
from bench.scoring.record_checks import Neighbours, Scored, check_records
from bench.scoring.trust import CellTrust, cell_trust, judge_evidence
from bench.store import CellEntry
from bench.suite import find_suite, load_suite
from bench.trust.effort import Effort
from bench.trust.examine import Subject, examine
from tests.broken.zoo import DEFENCES, FLAGGED_BY, Network, Unruly, classifier, shapes, trained
from tests.loaded import loaded

HEADLINE = Fraction(12, 255)
GRID = tuple(Cell(Fraction(n, 255), str(n)) for n in (4, 12))
UNITS = [
    Unit("model", 0, attack, "foolbox", GRID)
    for attack in (Fgsm(attack="fgsm"), Pgd(attack="pgd", steps=10, rel_step_size=0.25))
]


def examined(model: Classifier) -> list[Evidence]:
    effort = Effort(dict.fromkeys(UNITS, 24), 3, 3)
    return examine(Subject(model, make_target(model, shapes(), 128), HEADLINE), effort)


def outcomes(r: Records) -> CellOutcomes:
    return CellOutcomes(r.id, r.label, r.clean_pred == r.label, r.success, float(r.linf.max()))


def graded(model: Classifier) -> dict[str, CellTrust]:
    """The trust of each cell of FGSM and PGD on ``model``, by attack and eps."""
    target: Target = make_target(model, shapes(), 128)
    evidence = examined(model)
    cells = []
    for unit in UNITS:
        for cell, records in zip(unit.cells, run_unit(unit, target).records, strict=True):
            entry = CellEntry(
                "model", 0, unit.attack.label, str(cell.eps), "linf", "foolbox", "exact", cell.key, "ok",
                kind=unit.attack.attack, access="white-box", budget="fixed",
            )  # fmt: skip
            cells.append(Scored(entry, outcomes(records)))
    around = Neighbours(cells, np.array(target.samples.ids), evidence)
    return {
        f"{c.entry.attack} {c.entry.key}": cell_trust(
            check_records(c, around) + judge_evidence([e for e in evidence if e.attack in (None, c.entry.attack)]),
            measured=True,
        )
        for c in cells
    }


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network is faster on one thread than on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> Network:
    return trained(0)


@pytest.mark.parametrize("name", DEFENCES)
def test_every_broken_defence_is_flagged_by_the_right_check(name: str, network: Network) -> None:
    torch.manual_seed(0)
    for trust in graded(classifier(DEFENCES[name](network))).values():
        assert trust.grade == "fail"
        assert FLAGGED_BY[name] in [f.check for f in trust.findings if f.grade == "fail"]


@pytest.mark.parametrize("seed", [0, 1])
def test_no_honest_network_is_flagged(seed: int) -> None:
    for cell, trust in graded(classifier(trained(seed))).items():
        assert trust.grade == "pass", (cell, [f for f in trust.findings if f.grade != "pass"])


@pytest.fixture(scope="module")
def default() -> tuple[Job, Classifier]:
    """The default suite and its baseline, a ResNet18; trained here if it is not in the cache."""
    job = make_job(load_suite(find_suite("fgsm_pgd")))
    zoo = Zoo(default_cache(), lambda _: lambda *_: None, "cpu")
    recipe = job.recipes["baseline", 0]
    zoo.ensure(recipe)
    return job, loaded(zoo, recipe)


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, *DEFENCES])
def test_the_default_suite_s_model_is_flagged_only_behind_a_broken_defence(
    name: str | None, default: tuple[Job, Classifier]
) -> None:
    job, honest = default
    network = honest.network.eval().requires_grad_(False)
    defences = {**DEFENCES, "dropout left on": Unruly}
    torch.manual_seed(0)
    defended = defences[name](network) if name else network  # type: ignore[arg-type]
    model = Classifier(defended, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=honest.num_classes).eval()
    units = [Unit("baseline", 0, a, "foolbox", tuple(Cell(e, str(e)) for e in job.suite.eps)) for a in job.suite.attacks]
    target = make_target(model, job.samples, 64)
    found = examine(Subject(model, target, job.suite.headline), Effort(dict.fromkeys(units, 16), 3, 3))
    flagged = [f for f in judge_evidence(found) if f.grade in ("warn", "fail")]
    if name is None:
        assert not flagged
    else:
        assert FLAGGED_BY[name] in [f.check for f in flagged if f.grade == "fail"]
