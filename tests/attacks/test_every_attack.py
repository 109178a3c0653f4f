"""Every attack of the contract, through every library that has it, on a trained network: in its budget,
and beating noise."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from bench.attacks.contract import CONTRACTS
from bench.attacks.registry import having
from bench.attacks.spec import contract_of
from bench.scoring.statistics import mcnemar
from bench.store.records import Records
from bench.trust.controls import HUGE
from bench.trust.noise import perturbed
from tests.builders.attacking import DEFAULT, pairs_of, run, spec, through
from tests.builders.small import few, small_classifier

EPS = {"linf": 0.25, "l2": 9.0, "l1": 120.0, "l0": 200.0, "spatial": 0.2}
"""Large: 8 x 8 digits scaled up to 32 x 32 are hard to change."""
DRAWS = 100
"""Random perturbations of the same size that each sample is given; shifts and rotations are met by shifts'
own size in linf."""

SMALL: dict[str, dict[str, Any]] = {
    "pgd": {"steps": 10},
    "apgd": {"steps": 10},
    "cw/l2": {"steps": 30, "step_size": 0.1, "initial_const": 1.0},
    "cw/linf": {"steps": 15, "step_size": 0.1, "initial_const": 0.1},
    "ead": {"steps": 30, "step_size": 0.1, "binary_search_steps": 3, "initial_const": 1.0},
    "newtonfool": {"steps": 100, "eta": 0.1},
    "brendel-bethge": {"steps": 10},
    "brendel-bethge/l0": {"steps": 3, "learning_rate": 0.03},
    "boundary": {"steps": 300},
    "hopskipjump": {"steps": 4},
    "hopskipjump/linf": {"steps": 8},
    "geoda": {"queries": 500},
    "zoo": {
        "steps": 60,
        "step_size": 0.3,
        "initial_const": 100.0,
        "binary_search_steps": 1,
        "coordinates": 512,
    },
    "square": {"steps": 200},
    "square/l2": {"steps": 1000},
    "simba": {"steps": 500, "step_size": 1.0, "basis": "dct", "freq_dim": 8},
    "strong": {"steps": 10, "targets": 4, "queries": 50},
}
SLOW = {
    "brendel-bethge",
    "boundary",
    "cw/linf",
    "geoda",
    "salt-and-pepper",
    "simba",
    "spatial",
    "square",
    "zoo",
}
"""Those that take from 3 s to minutes."""
CASES = [
    pytest.param(
        *key.split("/"), carrier, marks=[pytest.mark.slow] if SLOW & {key, key.split("/")[0]} else []
    )
    for key in CONTRACTS
    if not key.startswith("noise")
    for carrier in through(spec(attack=key.split("/")[0], norm=key.split("/")[1]))
]
FEW = 3
"""Of 16 samples, what an attack has to break more than, though noise breaks fewer."""
SLOW_TO_FIND = {"zoo"}
"""Attacks that would take minutes to break more than a few: they have to beat noise all the same."""
NOISE_ITSELF = {"salt-and-pepper"}
"""What is noise breaks as much as noise."""
WEAKER_THAN_ITS_CLAIM = {("fgsm", "l1", "art"), ("pgd", "l1", "art")}
"""ART's l1 steps go along one value and stall at the box: nothing to beat noise with on images."""


@cache
def noise(norm: str) -> int:
    """How many of the samples any of the random perturbations of that size in ``norm`` fools."""
    images, generator = few(16), torch.Generator().manual_seed(0)
    fooled = 0
    for x, y in zip(torch.from_numpy(images.x), images.labels, strict=True):
        moved = perturbed(x.expand(DRAWS, -1, -1, -1), norm if norm in HUGE else "linf", EPS[norm], generator)
        fooled += bool((small_classifier()(moved).argmax(1) != int(y)).any())
    return fooled


def found(attack: str, norm: str, carrier: Any) -> Records:
    declared = SMALL.get(f"{attack}/{norm}", SMALL.get(attack, {}))
    return run(spec(attack=attack, norm=norm, **declared), carrier, small_classifier(), few(16), [EPS[norm]])[
        0
    ]


@pytest.mark.parametrize(("attack", "norm", "carrier"), CASES)
def test_attack_keeps_its_budget_and_beats_noise(attack: str, norm: str, carrier: Any) -> None:
    records = found(attack, norm, carrier)
    for column in ("adv_prob", "adv_prob_true", "linf", "l2", "l1", "l0"):
        assert np.isfinite(getattr(records, column)).all()
    assert records.linf.max() <= 1 + 1e-6
    if norm != "spatial":
        assert getattr(records, norm).max() <= EPS[norm] * (1 + 1e-6) + 1e-6
    if attack in NOISE_ITSELF:
        assert records.success.sum() >= noise(norm)
    elif (attack, norm, carrier) not in WEAKER_THAN_ITS_CLAIM:
        assert records.success.sum() > max(noise(norm), 0 if attack in SLOW_TO_FIND else FEW)
    contract = contract_of(spec(attack=attack, norm=norm))
    assert (records.queries is None) == (contract.access == "white-box")
    assert (records.distance is None) == (contract.budget == "fixed")


PAIRS: list[Any] = [
    ({"attack": "fgsm"}, 0.1),
    ({"attack": "fgsm", "targeted": True, "restarts": 3}, 0.1),
    ({"attack": "bim"}, 0.1),
    ({"attack": "mi-fgsm"}, 0.1),
    ({"attack": "pgd", "steps": 10, "random_start": True}, 0.1),
    ({"attack": "pgd", "steps": 10, "targeted": True}, 0.1),
    ({"attack": "fgsm", "norm": "l2"}, 4.0),
    ({"attack": "bim", "norm": "l2"}, 3.0),
    ({"attack": "mi-fgsm", "norm": "l2"}, 3.0),
    ({"attack": "pgd", "norm": "l2", "steps": 10, "random_start": True}, 3.0),
    ({"attack": "deepfool"}, 3.2),
    *(
        pytest.param({"attack": "hopskipjump", "norm": norm, "steps": 4}, eps, marks=pytest.mark.slow)
        for norm, eps in (("l2", 10.0), ("linf", 0.39))
    ),
    pytest.param({"attack": "square", "steps": 100}, 0.2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    ("declared", "eps"), PAIRS, ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict) else v
)
def test_pairs_agree_as_the_contract_says_on_a_network(declared: dict[str, Any], eps: float) -> None:
    attack, images = spec(**declared), few(200)
    assert len(images) == 200
    found = {
        library: run(attack, library, small_classifier(), images, [eps], batch_size=100)[0]
        for library in through(attack)
    }
    assert pairs_of(attack)
    for first, second, pairing in pairs_of(attack):
        a, b = found[first], found[second]
        assert 20 < a.success.sum() < 180, "an eps at which the outcome is open"
        if pairing == "exact":
            np.testing.assert_array_equal(a.adv_prob_true, b.adv_prob_true)
            np.testing.assert_array_equal(a.linf, b.linf)
            continue
        assert pairing == "statistical"
        assert mcnemar(int((a.success & ~b.success).sum()), int((b.success & ~a.success).sum())) >= 0.05
        if attack.attack not in {"hopskipjump", "square"}:  # their random streams are the libraries' own
            assert (a.success == b.success).mean() >= 0.95


@pytest.mark.parametrize("key", [key for key in CONTRACTS if len(having(key)) > 1])
def test_statistical_is_claimed_only_where_it_is_tested(key: str) -> None:
    attack, norm = key.split("/")
    tested = [spec(**(p.values if hasattr(p, "values") else p)[0]) for p in PAIRS]
    statistical = any(pairing == "statistical" for *_, pairing in pairs_of(spec(attack=attack, norm=norm)))
    assert not statistical or key in {f"{attack.attack}/{attack.norm}" for attack in tested}


@pytest.mark.parametrize("attack", ["cw", "ead"])
@pytest.mark.parametrize("carrier", DEFAULT)
def test_a_search_for_the_nearest_does_not_depend_on_the_company_of_a_sample(
    attack: str, carrier: Any
) -> None:
    declared = spec(attack=attack, **(SMALL.get(attack) or SMALL[f"{attack}/l2"]))
    whole, parts = (
        run(declared, carrier, small_classifier(), few(10), [4.0], batch_size=size)[0] for size in (10, 4)
    )
    assert whole.distance is not None
    assert parts.distance is not None
    np.testing.assert_allclose(whole.distance, parts.distance, rtol=1e-3)


def test_each_restart_follows_its_own_target() -> None:
    """Also when nothing is broken, so that every restart is about the same images."""
    attack = spec(attack="fgsm", targeted=True, restarts=4)
    a, *others = (run(attack, library, small_classifier(), few(8), [0.005])[0] for library in through(attack))
    one = run(spec(attack="fgsm", targeted=True), "art", small_classifier(), few(8), [0.005])[0]
    assert not a.success.any()
    for b in others:
        np.testing.assert_array_equal(a.adv_prob_true, b.adv_prob_true)
    assert (a.adv_prob_true < one.adv_prob_true).any()


@pytest.mark.parametrize(
    "restarts", [{"restarts": 2, "random_start": True}, {"restarts": 4, "targeted": True}]
)
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_with_either_loss(loss: str, restarts: dict[str, Any]) -> None:
    more = {k: v for k, v in restarts.items() if k != "random_start"}
    attack = spec(attack="apgd", steps=10, loss=loss, **more)
    assert run(attack, "art", small_classifier(), few(16), [EPS["linf"]])[0].success.sum() > max(
        noise("linf"), FEW
    )
