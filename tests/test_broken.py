"""Masked models are flagged, by a check that names how; honest ones never fail. With the effort that a user gets."""

import copy
from collections.abc import Iterator

import pytest
import torch

from tests.broken.honest import HONEST, honest
from tests.broken.judge import ATTACKS, Setting, judge, overstated
from tests.broken.masked import MASKED
from tests.broken.zoo import classifier, shapes, trained

OVERSTATED = 0.07
SAMPLES = shapes(150)
QUICK = Setting(carriers=("foolbox",))
"""Half of the default suite, and so of the effort that its checks may take."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network is faster on one thread than on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", MASKED)
def test_what_is_masked_is_flagged_by_a_check_that_says_how(name: str) -> None:
    """Unless it looks hardly more robust than it is: that is looked at only where no check has said so."""
    torch.manual_seed(0)
    masked, fair = MASKED[name], classifier(trained(0))
    model = classifier(masked.build(trained(0)))
    untouched = copy.deepcopy(model)
    judged = judge(model, SAMPLES, QUICK)
    flagged = judged.flagged()
    if not set(masked.named) & set(flagged):
        assert not masked.always
        assert overstated(judged, untouched, [fair], SAMPLES, QUICK.headline) <= OVERSTATED, flagged


SMALL = {
    "one step at one eps": (Setting(grid=(QUICK.headline,), attacks=ATTACKS[:1], carriers=("foolbox",)), 150),
    "few samples": (Setting(grid=(QUICK.headline,), carriers=("foolbox",)), 30),
}


@pytest.mark.parametrize("suite", SMALL)
@pytest.mark.parametrize("name", ["shattered gradient", "logits x 0.01", "noise on the logits' gradient", "remembers"])
def test_a_small_suite_is_checked_all_the_same(name: str, suite: str) -> None:
    setting, count = SMALL[suite]
    torch.manual_seed(0)
    judged = judge(classifier(MASKED[name].build(trained(0))), shapes(count), setting)
    assert set(MASKED[name].named) & set(judged.flagged())


@pytest.mark.parametrize("name", list(HONEST)[:12])
def test_no_honest_network_fails(name: str) -> None:
    failed = {
        where: t.findings for where, t in judge(classifier(honest(name)), SAMPLES, QUICK).trust.items() if t.grade == "fail"
    }
    assert not failed
