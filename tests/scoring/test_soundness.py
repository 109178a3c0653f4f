"""Which models can rank: a worst case is as sound as its strongest attack."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench import render
from bench.attacks.attack import Norm
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store.evidence import Evidence
from tests.builders.runs import cell_entry
from tests.scoring.test_scoring import SAMPLE, records, shown, store, stored

ACCESS = {"fgsm": "white-box", "pgd": "white-box", "apgd": "white-box", "square": "score"}


def scene(
    folder: Path, broken: dict[str, int], failing: set[str], library: str | None = None, silent: str = ""
) -> Scorecard:
    """Two models: each attack breaks "other" on half of the samples, "base" on as many as ``broken`` says.

    The attacks in ``failing`` fail a check on "base": through ``library``, or through both. All others pass
    it, but for those in ``silent``, of which it is not asked.
    """
    cells = {
        cell_entry(
            m, 0, a, "8/255", "linf", lib, "exact", f"{m}-{a}-{lib}", kind=a, access=ACCESS[a], budget="fixed"
        ): records(0, (broken[a] if m == "base" else 100) > SAMPLE)
        for m in ("base", "other") for a in broken for lib in ("foolbox", "art")
    }  # fmt: skip
    at = [lib for lib in ("foolbox", "art") if library in (None, lib)]
    bad = [Evidence("unconstrained", "base", 0, attack, lib, 1.0, 32) for attack in failing for lib in at]
    sound = [
        (attack, lib)
        for attack in broken
        for lib in ("foolbox", "art")
        if attack not in failing or lib not in at
    ]
    good = [Evidence("unconstrained", "base", 0, *where, 0.0, 32) for where in sound if where[0] != silent]
    return score(stored(folder, cells, bad + good))


@pytest.mark.parametrize(
    ("broken", "failing", "library", "ranks"),
    [
        ({"fgsm": 18, "pgd": 28}, {"pgd"}, None, False),  # FGSM is sound, and proves nothing
        ({"fgsm": 18, "pgd": 5}, {"pgd"}, None, False),  # the same, where the failed attack found less still
        ({"fgsm": 18, "pgd": 28}, {"fgsm"}, None, True),  # PGD needs no FGSM
        ({"fgsm": 18}, {"fgsm"}, None, False),
        ({"pgd": 28}, {"pgd"}, "art", True),  # the other library breaks the same samples, and is sound
        ({"pgd": 28, "apgd": 30}, {"pgd"}, None, True),  # a stronger attack is sound
        (
            {"pgd": 28, "apgd": 30},
            {"apgd"},
            None,
            False,
        ),  # it shows that PGD was too weak, and may be so itself
        ({"pgd": 28, "apgd": 10}, {"apgd"}, None, True),  # what a failed attack missed, a sound one found
        ({"pgd": 28, "square": 10}, {"square"}, None, True),
        ({"pgd": 28, "square": 10}, {"pgd"}, None, False),  # a black-box attack proves nothing beside it
        ({"square": 10}, {"square"}, None, False),
        ({"square": 10}, set(), None, True),
    ],
)
def test_a_model_ranks_only_if_its_strongest_attack_is_sound(
    broken: dict[str, int], failing: set[str], library: str | None, ranks: bool, tmp_path: Path
) -> None:
    base = next(m for m in scene(tmp_path, broken, failing, library).models if m.model.name == "base")
    assert (base.rank is not None) == ranks == (base.unranked is None) == (base.trust != "fail")


def test_what_only_one_step_had_a_chance_to_fail_counts(tmp_path: Path) -> None:
    """Of the iterative attack the check was not made, as binarisation is not with the DLR loss."""
    for i, (silent, why) in enumerate(
        (("", None), ("pgd", "fgsm fails unconstrained, which its strongest attack had no chance to show"))
    ):
        card = scene(tmp_path / str(i), {"fgsm": 18, "pgd": 28}, {"fgsm"}, silent=silent)
        (base,) = (m for m in card.models if m.model.name == "base")
        assert (base.unranked, base.rank is None, base.trust == "fail") == (
            why,
            why is not None,
            why is not None,
        )


@pytest.mark.parametrize(
    ("norm", "found", "grade", "said"),
    [
        ("linf", 3, "warn", "attack too weak: found 1 of 3; with more steps, found 3 of 3"),
        ("linf", 1, "fail", "found 1 of 3"),
        ("linf", None, "fail", "found 1 of 3"),  # nothing else was tried on what is planted
        ("l2", 3, "fail", "found 1 of 3"),  # other twins
    ],
)
def test_one_step_that_misses_what_more_steps_find_is_too_weak(
    norm: Norm, found: int | None, grade: str, said: str, tmp_path: Path
) -> None:
    """Both follow the gradients of the same twins: these lead to what is planted."""
    cells = {
        cell_entry("a", 0, a, "8/255", n, "art", "exact", a, kind=a, access="white-box", budget="fixed"):
        records(0, SAMPLE < 30)
        for a, n in (("fgsm", "linf"), ("pgd", norm))
    }  # fmt: skip
    evidence = [
        Evidence("binarisation", "a", 0, a, "art", count / 3, 3, f"found {count} of 3")
        for a, count in (("fgsm", 1), ("pgd", found))
        if count is not None
    ]
    (fgsm, _) = score(stored(tmp_path, cells, evidence)).cells
    assert fgsm.trust is not None
    (finding,) = (f for f in fgsm.trust.findings if f.check == "binarisation")
    assert (finding.grade, finding.detail) == (grade, said)


def test_what_is_not_sound_is_compared_with_nothing_and_the_leaderboard_says_why(tmp_path: Path) -> None:
    card = scene(tmp_path, {"fgsm": 18, "pgd": 28}, {"pgd"})
    assert [(m.model.name, m.rank) for m in card.models] == [("other", 1), ("base", None)]
    assert card.headline == ()
    assert {c.attack for c in card.comparisons} == {"fgsm"}, "Holm's family holds sound attacks only"
    assert not [s.text for s in card.sentences if "robust accuracy" in s.text or "pgd" in s.text]
    why = "base has no rank: its strongest attack, pgd, fails unconstrained"
    assert why in " ".join(shown(card, 80).split())
    assert why in render.to_markdown(card)
    assert (
        json.loads(render.to_json(card))["models"][1]["unranked"]
        == "its strongest attack, pgd, fails unconstrained"
    )


def test_a_model_alone_ranks_by_the_same_rule(tmp_path: Path) -> None:
    evidence = [Evidence("unconstrained", "a", 0, "pgd-10", None, 1.0, 32, "")]
    for i, (found, rank) in enumerate(((evidence, None), ([], 1))):
        card = score(
            store(tmp_path / str(i), {("a", 0, "art", "8/255"): records(0, np.asarray(SAMPLE < 30))}, found)
        )
        assert card.models[0].rank == rank
