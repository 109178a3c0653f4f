"""A suite made concrete: what may be trained on, and which backbone each seed starts from."""

from pathlib import Path

import pytest
import yaml

from bench.engine.job import make_job
from bench.errors import SuiteError
from bench.suite.suite import Suite, load_suite, place_of, shipped_suites
from tests.builders.tiny import TINY


def tiny(**options: object) -> Suite:
    return Suite.model_validate({**yaml.safe_load(TINY), **options})


def test_a_backbone_is_never_trained_on_what_is_attacked(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(TINY.replace("classes: [6, 7]", "classes: [1, 7]"))
    with pytest.raises(
        SuiteError, match=r"6 of the 12 attacked images would be pretrained on too .*classes, exclude"
    ) as caught:
        make_job(load_suite(file))
    assert place_of(file, caught.value) == f"{file}:6"


def test_no_shipped_suite_adapts_to_a_class_of_its_source() -> None:
    for suite in map(load_suite, shipped_suites()):
        pretrain, target = suite.backbone_of(suite.models[0]).pretrain, suite.data
        source = pretrain and pretrain.data
        if source and source.source == target.source:
            wanted = set(target.classes) if isinstance(target.classes, tuple) else set()
            assert wanted, suite.name
            assert wanted <= set(source.exclude) or wanted.isdisjoint(source.classes or wanted), suite.name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attack", "needed"),
    [({"attack": "strong"}, 4), ({"attack": "apgd", "loss": "dlr"}, 3), ({"attack": "apgd"}, None)],
)
def test_a_loss_that_needs_more_classes_is_refused_before_training(
    attack: dict[str, object], needed: int | None
) -> None:
    suite = tiny(attacks=[{"attack": "fgsm"}, attack])
    if needed is None:
        assert make_job(suite).suite is suite
        return
    with pytest.raises(
        SuiteError, match=rf"'{attack['attack']}' ranks {needed} logits .*; these data have 2 classes"
    ) as caught:
        make_job(suite)
    assert caught.value.where == ("attacks", 1)


def test_only_a_backbone_that_starts_at_random_follows_the_training_seed() -> None:
    def seeds(backbone: dict[str, object]) -> list[int]:
        return [
            recipe.backbone.seed
            for recipe in make_job(tiny(seeds=[3, 4], backbone=backbone)).recipes.values()
        ]

    assert seeds({}) == [3, 4, 3, 4]
    assert seeds({"weights": "IMAGENET1K_V1"}) == [0, 0, 0, 0]
    assert seeds({"pretrain": {"data": {"classes": [0, 1], "size": 16}, "seed": 7}}) == [7, 7, 7, 7]
