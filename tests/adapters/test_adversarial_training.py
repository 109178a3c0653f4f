"""Adversarial training: closed forms, the contract's own PGD inside, what stays, what is resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from pydantic import TypeAdapter, ValidationError
from torch import Generator, Tensor, nn

from adapters.errors import ModelError
from adapters.spec import TrainingSpec
from adapters.training.adversaries import crafting, descend, random_start
from adapters.training.curves import Epoch, collapsed
from adapters.training.fit import Training, fit
from adapters.training.objectives import Robust, cross_entropy
from adapters.training.spec import Adversarial, PgdTraining
from adapters.training.weight_perturbation import perturbed
from bench.attacks import randomness
from bench.attacks.question import Question
from bench.attacks.spec import Pgd
from bench.attacks.translation import Opponent, make_craft
from tests.adapters.test_training import KilledError, images, small, weights
from tests.builders.linear import SHAPE, WEIGHT, Linear
from tests.builders.small import few, small_classifier


def spec(**declared: Any) -> Adversarial:
    found: Adversarial = TypeAdapter(Adversarial).validate_python(declared)
    return found


def training(epochs: int = 6, **options: Any) -> TrainingSpec:
    return TrainingSpec.model_validate({"epochs": epochs, "batch_size": 8, **options})


def robust(declared: Adversarial, network: nn.Module, seed: int = 0) -> Robust:
    return Robust(declared, network, network, Generator().manual_seed(seed), 0.0)


def trainable_linear() -> Linear:
    return Linear(bias=float(-WEIGHT.sum() / 2)).double().requires_grad_(True)


def middling(count: int = 40) -> tuple[Tensor, Tensor]:
    """Images far from the walls of the box, half of them labelled as the linear model says, in float64."""
    generator = Generator().manual_seed(1)
    x = 0.5 + 0.2 * (torch.rand(count, *SHAPE, generator=generator) - 0.5).double()
    return x, torch.arange(count) % 2


@pytest.mark.parametrize(
    ("declared", "dual"),
    [
        ({"method": "pgd", "eps": "8/255", "steps": 10}, 1),
        ({"method": "pgd", "eps": "0.1", "norm": "l2", "steps": 10, "random_start": False}, 2),
        ({"method": "fast", "eps": "8/255", "random_start": False}, 1),
    ],
    ids=["pgd-linf", "pgd-l2", "fast"],
)
def test_loss_and_gradient_of_a_linear_model_are_the_closed_form(declared: dict[str, Any], dual: int) -> None:
    """log(1 + exp(-(m - eps ||w||_q))), q the dual of the ball's norm."""
    adversarial, network = spec(**declared), trainable_linear()
    x, y = middling()
    loss = robust(adversarial, network).prepare(x, y, 1.0)()
    loss.backward()  # type: ignore[no-untyped-call]

    weight = WEIGHT.double().requires_grad_(True)
    margin = (2 * y - 1) * (x.flatten(1) @ weight + network.bias)
    expected = F.softplus(-(margin - float(adversarial.eps) * weight.norm(p=dual))).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert network.weight.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(network.weight.grad, weight.grad, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 7])
def test_the_inner_pgd_is_bitwise_the_contracts_through_foolbox(norm: Any, steps: int) -> None:
    eps = 16 / 255 if norm == "linf" else 1.5
    samples, classifier = few(12), small_classifier()
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    question = Question(x, y, samples.ids, eps, seed=3)
    attack = Pgd(attack="pgd", norm=norm, steps=steps, rel_step_size=0.3, random_start=True)
    theirs = make_craft(attack, "foolbox", Opponent(classifier, (3, 32, 32), 5, "cpu"))(question)
    start = randomness.random_start(question, norm)
    loss = lambda moved: cross_entropy(classifier(moved), y)  # noqa: E731
    ours = descend(loss, x, start, norm=norm, eps=eps, step=attack.step_at(eps), steps=steps)
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, start)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball(norm: Any) -> None:
    x = torch.full((2000, 1, 2, 2), 0.5)
    offset = (random_start(x, norm=norm, eps=0.1, generator=Generator().manual_seed(0)) - x).flatten(1)
    sizes = offset.norm(p=np.inf if norm == "linf" else 2, dim=1) / 0.1
    assert sizes.max() <= 1 + 1e-5
    assert (sizes**4).mean() == pytest.approx(0.5, abs=0.03)  # a radius' share of the volume is uniform
    assert offset.mean().abs() < 0.003


@pytest.mark.parametrize("batchnorm", ["eval", "train"])
def test_crafting_asks_no_gradient_of_parameters_and_moves_no_statistics(batchnorm: Any) -> None:
    classifier = small().train()
    modes = {name: m.training for name, m in classifier.named_modules()}
    before, x = weights(classifier), torch.rand(8, 3, 8, 8, requires_grad=True)
    with crafting(classifier, batchnorm):
        assert not any(p.requires_grad for p in classifier.parameters())
        training_now = [type(m) for m in classifier.modules() if m.training]
        assert training_now == ([nn.BatchNorm2d] if batchnorm == "train" else [])
        logits = classifier(x)
        torch.autograd.grad(logits.sum(), x)
        alone = classifier(x[:4])
    assert torch.allclose(alone, logits[:4], atol=1e-6) == (batchnorm == "eval"), (
        "only the batch's own statistics differ"
    )
    assert {name: m.training for name, m in classifier.named_modules()} == modes
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())
    for name, tensor in weights(classifier).items():
        assert torch.equal(tensor, before[name]), name


def reference_trades(network: nn.Module, x: Tensor, adversarial: Tensor, y: Tensor, beta: float) -> Tensor:
    clean, attacked = network(x).log_softmax(1), network(adversarial).log_softmax(1)
    natural: Tensor = -clean.gather(1, y[:, None]).mean()
    divergence: Tensor = (clean.exp() * (clean - attacked)).sum()
    return natural + beta / len(x) * divergence


def reference_mart(network: nn.Module, x: Tensor, adversarial: Tensor, y: Tensor, beta: float) -> Tensor:
    clean, attacked = network(x).softmax(1), network(adversarial).softmax(1)
    found = []
    for p, q, label in zip(clean, attacked, y, strict=True):
        wrong = max(float(v) for i, v in enumerate(q) if i != label)
        divergence = (p * (p / q).log()).sum()
        found.append(-q[label].log() - np.log(1.0001 - wrong) + beta * divergence * (1 - p[label]))
    return torch.stack(found).mean()


@pytest.mark.parametrize("method", ["trades", "mart"])
def test_the_losses_of_trades_and_mart_are_those_of_their_papers(method: str) -> None:
    declared = spec(method=method, eps="16/255", steps=3, beta=4)
    samples, classifier = few(10), small_classifier()
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    shown: list[Tensor] = []

    def watched(images: Tensor) -> Tensor:
        shown.append(images.detach())
        logits: Tensor = classifier(images)
        return logits

    loss = Robust(declared, classifier, watched, Generator().manual_seed(0), 0.0).prepare(x, y, 1.0)
    shown.clear()
    value = loss()
    clean, adversarial = shown
    assert torch.equal(clean, x)
    assert 0 < float((adversarial - x).abs().max()) <= 16 / 255 + 1e-6
    reference = reference_trades if method == "trades" else reference_mart
    torch.testing.assert_close(value, reference(classifier, x, adversarial, y, 4.0), rtol=1e-4, atol=1e-5)


def test_trades_raises_the_divergence_and_not_the_loss_of_the_label() -> None:
    declared = spec(method="trades", eps="16/255", steps=5)
    samples, classifier = few(10), small_classifier()
    x = torch.from_numpy(samples.x)
    found = [
        robust(declared, classifier).prepare(x, y, 1.0)
        for y in torch.from_numpy(samples.labels).expand(2, -1)
    ]
    assert found[0]() == found[1]()
    wrong = (torch.from_numpy(samples.labels) + 1) % 5
    adversarials = []
    for y in (torch.from_numpy(samples.labels), wrong):
        craft = robust(declared, classifier)
        adversarials.append(craft._craft(x, y, 1.0))
    assert torch.equal(*adversarials)


def test_a_share_of_the_batch_stays_clean() -> None:
    declared = spec(method="pgd", eps="16/255", steps=2, clean_share=0.25)
    samples, classifier = few(8), small_classifier()
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    shown: list[Tensor] = []

    def watched(images: Tensor) -> Tensor:
        shown.append(images.detach())
        logits: Tensor = classifier(images)
        return logits

    Robust(declared, classifier, watched, Generator().manual_seed(0), 0.0).prepare(x, y, 1.0)()
    changed = (shown[-1] != x).flatten(1).any(1)
    assert changed.tolist() == [True] * 6 + [False] * 2


def test_weights_are_perturbed_along_the_gradient_by_gamma_of_their_norm_and_put_back() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 2))
    x, y = torch.rand(6, *SHAPE), torch.arange(6) % 2

    def loss() -> Tensor:
        return F.cross_entropy(network(x), y)

    before = [p.detach().clone() for p in network.parameters()]
    plain = loss().item()
    with perturbed(network, loss, 0.05):
        assert loss().item() > plain
        for p, was in zip(network.parameters(), before, strict=True):
            moved = float((p.detach() - was).norm())
            assert moved == pytest.approx(0.05 * float(was.norm()) if p.dim() > 1 else 0, rel=1e-4, abs=1e-7)
    assert all(torch.equal(p, was) for p, was in zip(network.parameters(), before, strict=True))


KINDS: list[dict[str, Any]] = [
    {
        "adversarial": {"method": "pgd", "eps": "8/255", "steps": 2, "batchnorm": "train"},
        "schedule": "one-cycle",
    },
    {
        "adversarial": {"method": "fast", "eps": "8/255", "eps_warmup_epochs": 3},
        "early_stopping": {"patience": 9},
    },
    {"adversarial": {"method": "trades", "eps": "8/255", "steps": 2, "awp": 0.01}, "optimizer": "adamw"},
    {
        "adversarial": {"method": "mart", "eps": "0.5", "norm": "l2", "steps": 2},
        "amp": True,
        "augmentation": "affine",
    },
]


@pytest.mark.parametrize("options", KINDS, ids=lambda o: o["adversarial"]["method"])
@pytest.mark.parametrize("killed_after", [1, 4])
def test_killed_and_resumed_adversarial_training_ends_bitwise_the_same(
    options: dict[str, Any], killed_after: int, tmp_path: Path
) -> None:
    declared = training(**options)
    whole, resumed = small(), small()
    expected = fit(whole, images(), declared, seed=3, progress=lambda *_: None)
    assert expected.robust is not None
    assert len(expected.robust.pgd) == 6

    def kill(done: int, *_: object) -> None:
        if done == killed_after:
            raise KilledError

    state = tmp_path / "state.pt"
    with pytest.raises(KilledError):
        fit(small(), images(), declared, seed=3, progress=kill, checkpoint=state)
    assert fit(resumed, images(), declared, seed=3, progress=lambda *_: None, checkpoint=state) == expected
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_the_weights_stay_that_withstand_pgd_on_most_held_out_images() -> None:
    declared = training(
        12, lr=0.2, schedule="constant", adversarial={"method": "pgd", "eps": "24/255", "steps": 3}
    )
    classifier = small()
    history = fit(classifier, images(), declared, seed=0, progress=lambda *_: None)
    assert history.robust is not None
    assert history.robust.held_out == 4
    kept = history.robust.kept
    assert history.robust.pgd[kept - 1] == max(history.robust.pgd)
    assert kept < 12, "the last epoch must not be the best one, or nothing was chosen"
    until = small()
    fit(until, images(), declared.model_copy(update={"epochs": kept}), seed=0, progress=lambda *_: None)
    for name, tensor in weights(classifier).items():
        assert torch.equal(tensor, weights(until)[name]), name


def test_accuracies_are_of_the_weights_and_of_held_out_images_alone() -> None:
    """By hand on the weights that stayed: clean, one step of eps, and PGD-10 with steps of eps / 4."""
    declared = training(
        3, adversarial={"method": "pgd", "eps": "24/255", "steps": 2}, early_stopping={"validation": 0.4}
    )
    classifier = small()
    run = Training(classifier, images(), declared, seed=0)
    run.run_epoch()
    x, y, eps = run.held_out.x.float() / 255, run.held_out.y, 24 / 255
    assert len(x) == 16
    assert not {tuple(i.flatten().tolist()) for i in run.held_out.x} & {
        tuple(i.flatten().tolist()) for i in run.x[run.train]
    }
    classifier.eval()
    loss = lambda moved: cross_entropy(classifier(moved), y)  # noqa: E731
    start = random_start(x[:8], norm="linf", eps=eps, generator=(generator := Generator().manual_seed(0)))
    start = torch.cat([start, random_start(x[8:], norm="linf", eps=eps, generator=generator)])
    pgd = descend(loss, x, start, norm="linf", eps=eps, step=eps / 4, steps=10)
    fgsm = descend(loss, x, x, norm="linf", eps=eps, step=eps, steps=1)
    by_hand = [float((classifier(shown).argmax(1) == y).float().mean()) for shown in (x, fgsm, pgd)]
    last = run.epochs[-1]
    assert [last.clean, last.fgsm, last.pgd] == pytest.approx(by_hand, abs=1e-6)
    assert last.eps == pytest.approx(eps)


def test_eps_rises_over_its_warm_up() -> None:
    declared = training(6, adversarial={"method": "fast", "eps": "8/255", "eps_warmup_epochs": 3})
    history = fit(small(), images(), declared, seed=0, progress=lambda *_: None)
    assert history.robust is not None
    np.testing.assert_allclose(np.array(history.robust.trained_at) * 255, [2, 4, 6, 8, 8, 8])


def epochs(*accuracies: tuple[float, float], eps: float = 0.1) -> list[Epoch]:
    return [Epoch(1.0, eps, 0.9, fgsm, pgd) for fgsm, pgd in accuracies]


@pytest.mark.parametrize(
    ("found", "number"),
    [
        ([(0.5, 0.45), (0.6, 0.5), (0.9, 0.02)], 3),
        ([(0.5, 0.45), (0.6, 0.29)], None),  # PGD accuracy fell by less than 20 points
        (
            [(0.5, 0.45), (0.3, 0.2)],
            None,
        ),  # FGSM accuracy fell with it: the network got worse, and hides nothing
        ([(0.8, 0.0)], 1),  # never robust
        ([(0.47, 0.16), (0.44, 0.13)], None),  # an honest training at a large eps
        ([(0.8, 0.5), (0.7, 0.3), (0.9, 0.0)], 2),  # the first is named
    ],
)
def test_a_collapse_is_where_one_step_no_longer_finds_what_pgd_does(
    found: list[tuple[float, float]], number: int | None
) -> None:
    assert collapsed(epochs(*found), 0.1) == number
    assert collapsed(epochs(*found, eps=0.05), 0.1) is None, "eps is still rising"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"method": "pgd", "eps": 8},
            r"eps 8 is larger than the whole pixel range \[0, 1\]; did you mean 8/255",
        ),
        ({"method": "pgd"}, "eps"),
        ({"method": "pgd", "eps": "0"}, "not positive"),
        ({"method": "fast", "eps": "8/255", "steps": 7}, "unknown key 'steps'"),
        ({"method": "pgd", "eps": "8/255", "beta": 6}, "unknown key 'beta'"),
        ({"method": "trades", "eps": "8/255", "clean_share": 0.5}, "unknown key 'clean_share'"),
        ({"method": "fgsm", "eps": "8/255"}, "fgsm"),
        ({"method": "pgd", "eps": "8/255", "eps_warmup_epochs": 6}, "eps never reaches its full size"),
    ],
)
def test_what_cannot_be_trained_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        training(adversarial=declared)


def test_steps_are_the_usual_ones_unless_declared() -> None:
    pgd, fast = spec(method="pgd", eps="8/255"), spec(method="fast", eps="8/255")
    assert float(pgd.step) * 255 == pytest.approx(2)
    assert float(fast.step) * 255 == pytest.approx(10)
    assert float(spec(method="pgd", eps="8/255", steps=5, step_size="3/255").step) * 255 == pytest.approx(3)
    assert isinstance(pgd, PgdTraining)


def test_one_image_of_each_class_cannot_be_held_out() -> None:
    few_images = images().take(np.arange(2))
    with pytest.raises(ModelError, match=r"no class has two training images, .*; drop training\.adversarial"):
        fit(
            small(),
            few_images,
            training(adversarial={"method": "pgd", "eps": "8/255"}),
            seed=0,
            progress=lambda *_: None,
        )
