"""Masked models are flagged, by a check that names how; honest ones never fail.

With the effort that a user gets.
"""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from adapters.cache.zoo import Zoo
from adapters.classifier import Classifier
from bench.attacks.spec import Strong
from bench.engine.job import Job, default_cache, make_job
from bench.ids import ModelId
from bench.suite.suite import find_suite, load_suite
from tests.broken.honest import HONEST, honest
from tests.broken.judge import ATTACKS, Judged, Setting, judge, overstated
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
@pytest.mark.parametrize(
    "name", ["shattered gradient", "logits x 0.01", "noise on the logits' gradient", "remembers"]
)
def test_a_small_suite_is_checked_all_the_same(name: str, suite: str) -> None:
    setting, count = SMALL[suite]
    torch.manual_seed(0)
    judged = judge(classifier(MASKED[name].build(trained(0))), shapes(count), setting)
    assert set(MASKED[name].named) & set(judged.flagged())


@pytest.mark.parametrize("name", [*list(HONEST)[:12], "very certain"])
def test_no_honest_network_fails(name: str) -> None:
    assert not failed(judge(classifier(honest(name)), SAMPLES, QUICK))


def test_where_the_loss_is_flat_the_attack_is_called_too_weak() -> None:
    """It breaks hardly anything: only the margin tells how weak the network is."""
    judged = judge(classifier(honest("very certain")), SAMPLES, QUICK)
    assert judged.broken.mean() < 0.2
    assert {"saturation": "warn", "second-loss": "warn"}.items() <= judged.flagged().items()
    assert judged.supporting.grade == "warn"


def failed(judged: Judged) -> list[object]:
    """Cells that fail, with what was found."""
    return [(where, t.findings) for where, t in judged.trust.items() if t.grade == "fail"]


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_no_honest_network_fails_the_default_suite_s_attacks(name: str) -> None:
    assert not failed(judge(classifier(honest(name)), SAMPLES))


@pytest.mark.slow
def test_at_most_one_honest_network_in_25_fails_under_strong() -> None:
    strong = Strong(attack="strong", steps=30, targets=3, queries=150)
    setting = Setting(grid=(QUICK.headline,), attacks=(strong,), carriers=("both",))
    found = {name: failed(judge(classifier(honest(name)), SAMPLES, setting)) for name in HONEST}
    assert sum(map(bool, found.values())) <= 1, found


@pytest.fixture(scope="module")
def default() -> tuple[Job, Classifier]:
    """The default suite and its baseline, a ResNet18; trained here if it is not in the cache."""
    job = make_job(load_suite(find_suite("fgsm_pgd")))
    zoo = Zoo(default_cache(), lambda _: lambda *_: None, "cpu")
    recipe = job.recipes[ModelId("baseline", 0)]
    return job, zoo.load(recipe, zoo.ensure(recipe).sha256)


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, *(name for name, masked in MASKED.items() if not masked.only_small)])
def test_the_default_suite_s_model_is_flagged_only_where_it_is_masked(
    name: str | None, default: tuple[Job, Classifier]
) -> None:
    job, trained_model = default
    network = trained_model.network.eval().requires_grad_(False)

    def around(network: nn.Module) -> Classifier:
        return Classifier(
            network, mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=trained_model.num_classes
        ).eval()

    torch.manual_seed(0)
    model = around(MASKED[name].build(network) if name else network)
    untouched, setting = copy.deepcopy(model), Setting(job.suite.headline, job.suite.eps, job.suite.attacks)
    judged = judge(model, job.samples, setting)
    if name is None:
        assert not judged.flagged()
    elif not set(MASKED[name].named) & set(judged.flagged()):
        assert not MASKED[name].always
        by = overstated(judged, untouched, [around(network)], job.samples, setting.headline)
        assert by <= OVERSTATED, judged.flagged()
