"""Masked models are flagged, by a check that names how; honest ones never fail. With the effort that a user gets."""

import copy
from collections.abc import Iterator

import pytest
import torch

from tests.broken.honest import HONEST, honest
from tests.broken.judge import Setting, judge, overstated
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


@pytest.mark.parametrize("name", list(HONEST)[:12])
def test_no_honest_network_fails(name: str) -> None:
    failed = {
        where: t.findings for where, t in judge(classifier(honest(name)), SAMPLES, QUICK).trust.items() if t.grade == "fail"
    }
    assert not failed
