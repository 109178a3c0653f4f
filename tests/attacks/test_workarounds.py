"""Each defect of a library, shown on the stock library: if a test fails here, its workaround can go."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import art.attacks.evasion as art
import foolbox.attacks as fb
import numpy as np
import numpy.typing as npt
import pytest
import torch
from art.estimators.classification import PyTorchClassifier
from foolbox import PyTorchModel
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.images import ImageSet
from bench.attacks.art.estimators import PredictionCache, SharingClassifier, WideClassifier
from bench.attacks.art.translation import make_craft as craft_by_art
from bench.attacks.art.workarounds import (
    CleanGeoDa,
    FinishedHopSkipJump,
    Probabilities,
    StartingApgd,
    StartingPgd,
)
from bench.attacks.foolbox.translation import make_craft
from bench.attacks.foolbox.workarounds import (
    AccumulateGradients,
    BehindTheBoundary,
    BoundedLinfNoise,
    CountedL0,
    ProjectedL2,
    UnflooredL1,
    UnflooredL2,
    quiet_root_logger,
    rate_of_one,
)
from bench.attacks.question import Question
from bench.attacks.rebinding import rebound
from bench.attacks.shared import Once
from bench.attacks.spec import Boundary, HopSkipJump
from bench.attacks.translation import Opponent
from tests.builders.linear import SHAPE, WEIGHT, Linear, margins


class Scaled(nn.Module):
    """``model`` with its logits times ``factor``; remembers its images' types, and counts them and calls."""

    def __init__(self, model: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.model, self.factor, self.seen, self.calls = model, factor, set[torch.dtype](), 0
        self.images = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add(x.dtype)
        self.calls += 1
        self.images += len(x)
        logits: Tensor = self.model(x.float()) * self.factor
        return logits


def estimator(
    model: nn.Module, kind: type[PyTorchClassifier] = PyTorchClassifier, shape: tuple[int, int, int] = SHAPE
) -> PyTorchClassifier:
    return kind(
        model, loss=nn.CrossEntropyLoss(reduction="sum"), input_shape=shape, nb_classes=2,
        clip_values=(0.0, 1.0), device_type="cpu",
    )  # fmt: skip


def first(samples: ImageSet, count: int = 8) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(samples.x[:count]), torch.from_numpy(samples.labels[:count])


@pytest.mark.parametrize(
    ("stock", "cure", "order"), [(fb.L2PGD, UnflooredL2, 2), (fb.L1PGD, UnflooredL1, 1)], ids=["l2", "l1"]
)
def test_foolbox_steps_shrink_with_tiny_gradients(
    stock: Any, cure: Any, order: int, linear: Classifier, samples: ImageSet
) -> None:
    x, y = first(samples)
    model = PyTorchModel(Scaled(linear, 1e-14), bounds=(0, 1), device="cpu")
    used = {}
    for kind in (stock, type("Cured", (cure, stock), {})):
        attack = kind(abs_stepsize=0.1, rel_stepsize=1.0, steps=3, random_start=False)
        used[kind.__name__] = (
            (attack.run(model, x, Misclassification(y), epsilon=0.3) - x).flatten(1).norm(p=order, dim=1)
        )
    assert used.pop("Cured").min() > 0.29
    assert next(iter(used.values())).max() < 0.15


def test_foolbox_l2_leaves_budget_unused_at_the_box(linear: Classifier, samples: ImageSet) -> None:
    x, _ = first(samples)
    x[:, 0] = 0.02 + 0.96 * (x[:, 0] > 0.5)
    y = linear(x).argmax(1)
    model = PyTorchModel(linear, bounds=(0, 1), device="cpu")
    used = {}
    for kind in (fb.L2PGD, type("Cured", (UnflooredL2, fb.L2PGD), {})):
        attack = kind(abs_stepsize=0.1, rel_stepsize=1.0, steps=5, random_start=False)
        used[kind.__name__] = (
            (attack.run(model, x, Misclassification(y), epsilon=0.3) - x).flatten(1).norm(dim=1)
        )
    assert used["L2ProjectedGradientDescentAttack"].min() < 0.295
    np.testing.assert_allclose(used["Cured"], 0.3, atol=1e-6)


def test_foolbox_linf_noise_leaves_its_budget(linear: Classifier, samples: ImageSet) -> None:
    x, y = first(samples, 48)
    used = {}
    for kind in (
        fb.LinfRepeatedAdditiveUniformNoiseAttack,
        type("Cured", (BoundedLinfNoise, fb.LinfRepeatedAdditiveUniformNoiseAttack), {}),
    ):
        torch.manual_seed(0)
        model = PyTorchModel(Scaled(linear), bounds=(0, 1), device="cpu")
        noisy = kind(repeats=20, check_trivial=False).run(model, x, Misclassification(y), epsilon=0.1)
        used[kind.__name__] = (noisy - x).abs().flatten(1).amax(1)
    cured = used.pop("Cured")
    assert cured.max() <= 0.1 + 1e-6
    assert cured[cured > 0].min() >= 0.1 - 1e-6
    assert next(iter(used.values())).max() > 0.11


def fmn_ratios(kind: Any, samples: ImageSet, linear: Classifier, order: float) -> npt.NDArray[np.float64]:
    """How many times farther than the boundary the adversarials lie; inf where none was found."""
    x, y = first(samples, 48)
    attack = kind(steps=100, max_stepsize=1.0, min_stepsize=0.01, gamma=0.05)
    moved = attack.run(PyTorchModel(linear, bounds=(0, 1), device="cpu"), x, Misclassification(y))
    size = (moved - x).double().flatten(1).norm(p=order, dim=1).numpy()
    gain = WEIGHT.double().norm(p=1 if order == torch.inf else 2).item()
    broken = (linear(moved).argmax(1) != y).numpy()
    return np.where(broken, size * gain / np.abs(margins(samples.images[:48])), np.inf)


def test_foolbox_l2_fmn_projects_nothing(linear: Classifier, samples: ImageSet) -> None:
    cured = type("Cured", (ProjectedL2, fb.L2FMNAttack), {})
    assert np.median(fmn_ratios(fb.L2FMNAttack, samples, linear, 2)) > 10
    assert np.median(fmn_ratios(cured, samples, linear, 2)) < 1.01


def test_foolbox_fmn_may_never_cross_the_boundary(linear: Classifier, samples: ImageSet) -> None:
    cured = type("Cured", (BehindTheBoundary, fb.LInfFMNAttack), {})
    assert np.isinf(fmn_ratios(fb.LInfFMNAttack, samples, linear, torch.inf)).any()
    assert fmn_ratios(cured, samples, linear, torch.inf).max() < 1.002


def test_foolbox_l0_fmn_keeps_one_value_too_many() -> None:
    import eagerpy

    x0, moved, one = (
        eagerpy.astensor(torch.tensor(v)) for v in ([[0.5, 0.5, 0.5]], [[0.6, 0.8, 0.5]], [1.0])
    )
    cured = type("Cured", (CountedL0, fb.L0FMNAttack), {})
    kept = [int((kind().project(moved, x0, one) != x0).raw.sum()) for kind in (fb.L0FMNAttack, cured)]
    assert kept == [2, 1]
    with pytest.raises(IndexError):
        fb.L0FMNAttack().project(moved, x0, 3 * one)
    assert (cured().project(moved, x0, 3 * one) == moved).raw.all()


def test_foolbox_mi_fgsm_accumulates_signs() -> None:
    import eagerpy

    gradients = eagerpy.astensor(torch.tensor([[0.1, -0.3]]))
    stock = fb.LinfMomentumIterativeFastGradientMethod()
    assert stock.normalize(gradients, x=gradients, bounds=(0, 1)).raw.tolist() == [[1.0, -1.0]]
    cured = AccumulateGradients().normalize(gradients, x=gradients, bounds=(0, 1)).raw
    np.testing.assert_allclose(cured, [[0.25, -0.75]], rtol=1e-6)


def test_foolbox_deepfool_installs_a_root_handler(
    linear: Classifier, samples: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = first(samples)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def attack() -> list[logging.Handler]:
        fb.L2DeepFoolAttack(steps=2).run(
            PyTorchModel(linear, bounds=(0, 1), device="cpu"), x, Misclassification(y)
        )
        return list(logging.getLogger().handlers)

    with quiet_root_logger():
        attack()
    assert logging.getLogger().handlers == []
    assert len(attack()) == 1


def test_foolbox_fgm_refuses_a_target(linear: Classifier, samples: ImageSet) -> None:
    """Why its descent with one step carries out FGSM."""
    x, y = first(samples)
    aim = TargetedMisclassification(1 - y)
    model = PyTorchModel(linear, bounds=(0, 1), device="cpu")
    with pytest.raises(ValueError, match="unsupported criterion"):
        fb.LinfFastGradientAttack(random_start=False).run(model, x, aim, epsilon=0.1)
    one_step = fb.LinfPGD(rel_stepsize=1.0, abs_stepsize=None, steps=1, random_start=False)
    assert (one_step.run(model, x, aim, epsilon=0.1) != x).any()


@pytest.mark.parametrize(
    ("kind", "step"),
    [(fb.L2CarliniWagnerAttack, {"stepsize": 0.1}), (fb.EADAttack, {"initial_stepsize": 0.1})],
)
def test_foolbox_stops_a_search_by_the_loss_of_the_whole_batch(
    kind: Any, step: dict[str, Any], linear: Classifier, samples: ImageSet
) -> None:
    x, y = first(samples, 48)
    attack = kind(binary_search_steps=4, steps=20, initial_const=0.1, abort_early=True, **step)
    model = PyTorchModel(linear, bounds=(0, 1), device="cpu")
    together, alone = (attack.run(model, x[:count], Misclassification(y[:count])) for count in (48, 4))
    assert not torch.allclose(together[:4], alone, atol=1e-3)


def test_foolbox_newtonfool_divides_by_zero(linear: Classifier, samples: ImageSet) -> None:
    x, y = first(samples)
    model = PyTorchModel(Scaled(linear, 1e6), bounds=(0, 1), device="cpu")
    assert torch.isnan(fb.NewtonFoolAttack(steps=2, stepsize=0.01).run(model, x, Misclassification(y))).any()


def test_foolbox_brendel_bethge_grows_its_trust_region_with_the_batch(
    linear: Classifier, samples: ImageSet
) -> None:
    def regions(count: int, rate: float) -> list[float]:
        attack = fb.L2BrendelBethgeAttack(steps=1, lr=rate)
        asked: list[float] = []

        def stay(x0: Any, *rest: Any) -> Any:
            asked.append(rest[-1])
            return np.zeros_like(x0)

        attack._optimizer = SimpleNamespace(solve=stay)
        x, y = first(samples, count)
        others = [int(np.flatnonzero(samples.labels[:48] != label)[0]) for label in samples.labels[:count]]
        starts = torch.from_numpy(samples.x[others])
        attack.run(
            PyTorchModel(linear, bounds=(0, 1), device="cpu"), x, Misclassification(y), starting_points=starts
        )
        return asked

    assert regions(4, 0.1) == pytest.approx([4 * regions(1, 0.1)[0]] * 4)
    assert regions(4, rate_of_one(0.1, 4)) == pytest.approx(regions(1, 0.1) * 4)


def test_foolbox_hopskipjump_asks_one_by_one_about_what_it_knows_before(
    linear: Classifier, samples: ImageSet
) -> None:
    """Of 25 directions a step, 24 questions are saved, and nothing else changes; not if the model draws."""
    x, y = first(samples, 1)
    other = torch.from_numpy(samples.x[[int(np.flatnonzero(samples.labels[:48] != int(y))[0])]])
    question = Question(x=x, y=y, ids=("a",), eps=0.0, others=other)
    stock = fb.HopSkipJumpAttack(
        steps=2, initial_gradient_eval_steps=25, max_gradient_eval_steps=25, gamma=0.01 * x.numel()
    )
    spec = HopSkipJump(attack="hopskipjump", steps=2, initial_evaluations=25, max_evaluations=25)
    models = [Scaled(linear) for _ in range(3)]
    crafts = [make_craft(spec, Opponent(models[i], SHAPE, 2, "cpu", draws=i == 1)) for i in (0, 1)]
    plain = PyTorchModel(models[2], bounds=(0, 1), device="cpu")
    torch.manual_seed(0)
    wanted = stock.run(plain, x, Misclassification(y), starting_points=other)
    for craft in crafts:
        torch.manual_seed(0)
        assert torch.equal(craft(question), wanted)
    assert models[2].calls == models[1].calls == models[0].calls + 2 * 24


@pytest.mark.parametrize(
    ("stock", "how"),
    [
        (art.ProjectedGradientDescent, {"num_random_init": 1}),
        (art.AutoProjectedGradientDescent, {"nb_random_init": 1}),
    ],
)
def test_art_draws_starts_by_position(
    stock: Any, how: dict[str, Any], linear: Classifier, samples: ImageSet
) -> None:
    sturdy = np.argsort(-np.abs(margins(samples.images[:48])))[:2]
    x, y = samples.x[sturdy], samples.labels[sturdy]

    def attack(x: Any, y: Any) -> Any:
        np.random.seed(0)  # noqa: NPY002
        found = stock(estimator(linear), eps=0.1, eps_step=0.001, max_iter=1, verbose=False, **how)
        return found.generate(x, y)

    assert not np.allclose(attack(x, y)[1], attack(x[1:], y[1:])[0])


def test_art_fgm_with_restarts_returns_clean_images(linear: Classifier, samples: ImageSet) -> None:
    sturdy = np.argsort(-np.abs(margins(samples.images[:48])))[:4]
    attack = art.FastGradientMethod(estimator(linear), eps=1e-3, num_random_init=2)
    np.testing.assert_array_equal(
        attack.generate(samples.x[sturdy], samples.labels[sturdy]), samples.x[sturdy]
    )


def test_art_hopskipjump_ends_off_the_boundary(linear: Classifier, samples: ImageSet) -> None:
    x, y = samples.x[:4], samples.labels[:4]
    start = samples.x[[int(np.flatnonzero(samples.labels[:48] != label)[0]) for label in y]]
    optimum = np.abs(margins(samples.images[:4])) / np.linalg.norm(WEIGHT.numpy())
    ratio = {}
    for kind in (art.HopSkipJump, FinishedHopSkipJump):
        np.random.seed(0)  # noqa: NPY002
        attack = kind(
            estimator(Scaled(linear)),
            norm=2,
            max_iter=4,
            max_eval=200,
            init_eval=50,
            init_size=1,
            verbose=False,
        )
        found = attack.generate(x, y, x_adv_init=start)
        ratio[kind.__name__] = np.median(np.linalg.norm((found - x).reshape(4, -1), axis=1) / optimum)
    assert ratio["FinishedHopSkipJump"] < 1.1
    assert ratio["HopSkipJump"] > 1.3


def test_art_hands_float64_to_the_model(linear: Classifier, samples: ImageSet) -> None:
    model = Scaled(linear)
    start = samples.x[[int(np.flatnonzero(samples.labels[:48] != samples.labels[0])[0])]]
    attack = art.HopSkipJump(
        estimator(model), max_iter=1, max_eval=10, init_eval=10, init_size=1, verbose=False
    )
    attack.generate(samples.x[:1], samples.labels[:1], x_adv_init=start)
    assert torch.float64 in model.seen


def test_art_geoda_needs_what_numpy_dropped_and_ours_writes_nothing(
    linear: Classifier, samples: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttributeError, match="mat"):
        art.GeoDA._generate_2d_dct_basis(2, 2)
    attack = CleanGeoDa(estimator(Scaled(linear)), max_iter=500, sub_dim=2, verbose=False)
    attack.start = samples.x[[int(np.flatnonzero(samples.labels[:48] != samples.labels[0])[0])]]
    attack.generate(samples.x[:1], samples.labels[:1])
    assert not list(tmp_path.iterdir())


def test_art_boundary_attack_proposes_ten_images_at_a_time(linear: Classifier, samples: ImageSet) -> None:
    """They are one question, but of a model that draws."""
    x, y = first(samples, 1)
    other = torch.from_numpy(samples.x[[int(np.flatnonzero(samples.labels[:48] != int(y))[0])]])
    question = Question(x=x, y=y, ids=("a",), eps=0.0, others=other)
    found, calls, images = [], [], []
    for draws in (False, True):
        model = Scaled(linear)
        opponent = Opponent(model, SHAPE, 2, "cpu", draws=draws)
        np.random.seed(0)  # noqa: NPY002
        found.append(craft_by_art(Boundary(attack="boundary", steps=40), opponent)(question))
        calls.append(model.calls)
        images.append(model.images)
    assert torch.equal(*found)
    assert images[0] == images[1] == calls[1] > 3 * calls[0]


def test_art_geoda_looks_for_a_start_without_end(linear: Classifier, samples: ImageSet) -> None:
    class EnoughError(Exception):
        pass

    attack = art.GeoDA(estimator(Scaled(linear)), max_iter=300, sub_dim=2, verbose=False)
    attack.clip_min, attack.clip_max = 0.0, 1.0
    asked = iter(range(1000))

    def never(*_: Any) -> bool:
        if next(asked, None) is None:
            raise EnoughError
        return False

    attack._is_adversarial = never
    with pytest.raises(EnoughError):
        attack._find_random_adversarial(samples.x[:1], samples.labels[:1])


@pytest.mark.parametrize(("queries", "decay", "error"), [(250, 0.6, IndexError), (300, 0.5, RecursionError)])
def test_art_geoda_finds_no_schedule(
    queries: int, decay: float, error: type[Exception], linear: Classifier
) -> None:
    how = {"max_iter": queries, "lambda_param": decay, "sub_dim": 2, "verbose": False}
    with pytest.raises(error):
        art.GeoDA(estimator(linear), **how)
    assert queries / 2 < sum(CleanGeoDa(estimator(linear), **how).q_opt_iter) <= queries


@pytest.mark.parametrize("queries", [1000, 2951])
@pytest.mark.parametrize("decay", [0.6, 0.8, 1.0])
def test_geoda_keeps_the_schedule_that_art_finds(queries: int, decay: float, linear: Classifier) -> None:
    stock, ours = (
        kind(estimator(linear), max_iter=queries, lambda_param=decay, sub_dim=2, verbose=False)
        for kind in (art.GeoDA, CleanGeoDa)
    )
    assert (ours.q_opt_iter, ours.iterate) == (stock.q_opt_iter, stock.iterate)


def test_art_apgd_takes_the_worse_of_its_first_two_points_for_a_target(
    linear: Classifier, samples: ImageSet
) -> None:
    """Why a target is in our loss, not in ART's ``targeted``."""
    x, y = samples.x[:8], samples.labels[:8]
    target = estimator(linear)
    attack = art.AutoProjectedGradientDescent(
        target,
        eps=0.3,
        eps_step=0.3,
        max_iter=1,
        targeted=True,
        nb_random_init=1,
        batch_size=8,
        verbose=False,
    )
    reached = attack.generate(x, 1 - y)
    fooled = linear(torch.from_numpy(reached)).argmax(1).numpy() == 1 - y
    assert fooled.all()
    kept, best = (
        target.compute_loss(x=images, y=1 - y, reduction="none") for images in (attack.x_max, reached)
    )
    assert (kept > best).all()  # the loss towards the target, which should fall


class Moody(nn.Module):
    """``model``, whose first answer is wrong on every second image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        self.calls += 1
        return torch.cat(
            [(row if self.calls > 1 or i % 2 else row.flip(0))[None] for i, row in enumerate(logits)]
        )


def test_art_apgd_leaves_out_what_a_random_model_gets_wrong_just_now(
    linear: Classifier, samples: ImageSet
) -> None:
    x, y = samples.x[:8], samples.labels[:8]
    found = []
    for kind in (art.AutoProjectedGradientDescent, StartingApgd):
        asked = estimator(moody := Moody(linear))
        attack = kind(
            asked, eps=0.3, eps_step=0.3, max_iter=2, nb_random_init=1, batch_size=8, loss_type=None,
            verbose=False
        )  # fmt: skip
        attack.start_offset = np.zeros((8, 12), dtype=np.float32)
        moody.calls = 0
        fooled = linear(torch.from_numpy(attack.generate(x, y))).argmax(1).numpy() != y
        found.append(fooled.tolist())
        assert attack.estimator is asked
    assert found == [[False, True] * 4, [True] * 8]


def test_art_zoo_gives_up_where_the_first_values_do_not_matter(samples: ImageSet) -> None:
    """Why its early abort is off: of one step along some values it concludes that no other helps."""
    weight = torch.zeros(12)
    weight[7] = 1.0
    x = samples.x[:8].copy()
    x[:, 1, 1, 1] = 0.49  # value 7: just below the boundary
    calls, found = [], []
    for abort in (True, False):
        np.random.seed(0)  # noqa: NPY002
        model = Scaled(Linear(weight, -0.5), 10.0)
        attack = art.ZooAttack(
            estimator(model), learning_rate=0.1, max_iter=40, binary_search_steps=1, initial_const=1e3,
            abort_early=abort,
            use_resize=False, use_importance=False, nb_parallel=1, batch_size=1, verbose=False,
        )  # fmt: skip
        found.append(
            int((model(torch.from_numpy(attack.generate(x, np.zeros(8, int)))).argmax(1) == 1).sum())
        )
        calls.append(model.calls)
    assert found[0] < found[1] == 8
    assert calls[0] < calls[1] / 2


def test_art_square_asks_three_times_a_step() -> None:
    shape = (3, 8, 8)
    x, y = np.full((4, *shape), 0.6, np.float32), np.ones(4, np.int64)
    calls, found = [], []
    for kind in (PyTorchClassifier, PredictionCache):
        np.random.seed(0)  # noqa: NPY002
        model = Scaled(Linear(torch.ones(192), -96.0))
        attack = art.SquareAttack(
            estimator(model, kind, shape), eps=0.01, max_iter=20, nb_restarts=1, batch_size=4, verbose=False
        )
        found.append(attack.generate(x, y))
        calls.append(model.calls)
    np.testing.assert_array_equal(found[0], found[1])
    assert calls[0] >= 3 * 20
    assert calls[1] <= 1.5 * 20


def test_art_zoo_passes_the_images_of_a_step_one_by_one(linear: Classifier, samples: ImageSet) -> None:
    calls, found = [], []
    for kind in (PyTorchClassifier, WideClassifier):
        np.random.seed(0)  # noqa: NPY002
        model = Scaled(linear)
        attack = art.ZooAttack(
            estimator(model, kind), max_iter=2, binary_search_steps=1, abort_early=False, use_resize=False,
            use_importance=False, nb_parallel=12, batch_size=1, verbose=False,
        )  # fmt: skip
        found.append(attack.generate(samples.x[:1], samples.labels[:1]))
        calls.append(model.calls)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert calls[0] > 5 * calls[1]


def test_art_fgm_asks_for_the_same_gradient_at_every_eps(linear: Classifier, samples: ImageSet) -> None:
    x, y = samples.x[:8], samples.labels[:8]
    found = []
    for kind in (PyTorchClassifier, SharingClassifier):
        model = Scaled(linear)
        target = estimator(model, kind)
        target.gradient = Once()
        found.append(np.stack([art.FastGradientMethod(target, eps=eps).generate(x, y) for eps in (0.1, 0.2)]))
        gradients = model.calls
    np.testing.assert_array_equal(found[0], found[1])
    assert gradients == 1


def test_art_pgd_asks_for_predictions_that_nobody_reads(linear: Classifier, samples: ImageSet) -> None:
    stock, ours = Scaled(linear), Scaled(linear)
    given: dict[str, Any] = {"eps": 0.1, "eps_step": 0.05, "max_iter": 3, "verbose": False}
    expected = art.ProjectedGradientDescent(estimator(stock), **given).generate(
        samples.x[:8], samples.labels[:8]
    )
    attack = StartingPgd(estimator(ours), **given)
    found = attack.descend(torch.from_numpy(samples.x[:8]), torch.from_numpy(samples.labels[:8]))
    np.testing.assert_array_equal(found.numpy(), expected)
    assert (stock.calls, ours.calls) == (3 + 2, 3)


def test_art_simba_takes_class_numbers_for_one_hot_labels(linear: Classifier, samples: ImageSet) -> None:
    attack = art.SimBA(estimator(Probabilities(linear)), attack="px", max_iter=2, freq_dim=2, verbose=False)
    with pytest.raises(np.exceptions.AxisError):
        attack.generate(samples.x[:1], samples.labels[:1])


def test_art_simba_refuses_logits(linear: Classifier, samples: ImageSet) -> None:
    y = np.eye(2, dtype=np.float32)[samples.labels[:1]]
    with pytest.raises(ValueError, match="probabilities"):
        art.SimBA(estimator(Scaled(linear)), attack="px", max_iter=2, freq_dim=2, verbose=False).generate(
            samples.x[:1], y
        )
    art.SimBA(estimator(Probabilities(linear)), attack="px", max_iter=2, freq_dim=2, verbose=False).generate(
        samples.x[:1], y
    )


@pytest.mark.slow
def test_art_brendel_bethge_mixes_up_a_batch(linear: Classifier, samples: ImageSet) -> None:
    """Why Foolbox alone carries it out: ART's search for the boundary asks whether all samples of the
    batch are adversarial."""
    pair = np.array([0, int(np.flatnonzero(samples.labels[:48] == samples.labels[0])[-1])])
    x, y = samples.x[pair], samples.labels[pair]
    other = samples.x[[int(np.flatnonzero(samples.labels[:48] != label)[0]) for label in y]]

    def attack(chosen: slice) -> Any:
        bethge = art.BrendelBethgeAttack(
            estimator(linear), norm=2, steps=1, binary_search_steps=10, batch_size=2
        )
        bethge._optimizer = SimpleNamespace(solve=lambda _, x, *__: np.zeros_like(x))  # the search alone
        found = bethge.generate(x[chosen], y[chosen], starting_points=other[chosen].copy())
        return np.linalg.norm((found - x[chosen]).reshape(len(found), -1), axis=1)

    together, alone = attack(slice(0, 2)), np.concatenate([attack(slice(0, 1)), attack(slice(1, 2))])
    assert (together > 1.05 * alone).any()


def test_rebound_patches_nothing() -> None:
    ours = rebound(_uses_abs, abs=lambda _: "ours")
    assert (ours(-1), _uses_abs(-1)) == ("ours", 1)


def _uses_abs(value: int) -> object:
    return abs(value)
