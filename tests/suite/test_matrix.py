"""Suites about models and data: the matrix written out, inherited training, errors that point to the line."""

from pathlib import Path

import pytest

from adapters.spec import EarlyStopping
from bench.errors import UserError
from bench.suite.suite import Suite, load_suite, shipped_suites

HEAD = """name: t
backbone: {pretrain: {data: {classes: [0, 1]}}}
data: {classes: [2, 3]}
training: {epochs: 3, lr: 0.5}
eps: [1/255]
attacks: [{attack: fgsm}]
"""


def suite(tmp_path: Path, body: str, head: str = HEAD) -> Suite:
    file = tmp_path / "suite.yaml"
    file.write_text(head + body)
    return load_suite(file)


def test_the_matrix_is_every_combination(tmp_path: Path) -> None:
    body = """
models: [{name: base}]
matrix:
  method: [lora, hra]
  r: [1, 4]
  alpha: [8, 16]
  targets: {fc: [fc], all: ".*conv1"}
  training: {lr: 0.25}
"""
    found = suite(tmp_path, body)
    assert [m.name for m in found.models] == [
        "base",
        *[f"lora-{t}-r{r}-a{a}" for t in ("fc", "all") for r in (1, 4) for a in (8, 16)],
        *[f"hra-{t}-r{r}" for t in ("fc", "all") for r in (1, 4)],
    ]
    last = found.models[8]
    assert last.adaptation.model_dump() == {
        "method": "lora",
        "r": 4,
        "alpha": 16,
        "dropout": 0,
        "targets": ".*conv1",
    }
    assert last.training is not None
    assert (last.training.lr, last.training.epochs) == (0.25, 3)


def test_a_stored_suite_does_not_expand_twice(tmp_path: Path) -> None:
    found = suite(tmp_path, "matrix: {r: [1, 2], targets: {fc: [fc]}}")
    assert Suite.model_validate(found.model_dump(mode="json")) == found
    assert len(found.models) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("matrix:\n  rank: [1]\n  targets: {fc: [fc]}", r"suite.yaml:8: .*unknown key 'rank'"),
        (
            "matrix:\n  targets: {fc: [fc]}\n  r: [0]",
            r"suite.yaml:9: matrix.r\[0\].*greater than or equal to 1",
        ),
        ("matrix: {r: [1]}", r"suite.yaml:7: matrix: the key 'targets' is missing"),
        (
            "matrix:\n  targets: {fc: [fc]}\n  r: 4\n  alpha: [-1]",
            r"suite.yaml:9: matrix.r: is not a list; write \[a, b\]\n.*suite.yaml:10: ",
        ),
        ("matrix:\n  targets: {fc: [fc]}\n  r: [4, 4]", r"suite.yaml:7: matrix: r holds a value twice"),
        (
            "matrix:\n  targets: {fc: [fc]}\n  seeds: [0, 1]",
            r"suite.yaml:7: matrix: seeds stand beside the matrix",
        ),
        ("matrix:\n  targets: {fc conv: [fc]}", r"suite.yaml:7: matrix: 'lora-fc conv' is not a name"),
        ("transfer: true\nmodels: [{name: a}]", r"suite.yaml:7: transfer: there is one model only"),
        ("models: []", r"suite.yaml:7: models: there is no model"),
        (
            "models:\n- name: a\n  adaptation: {method: lorra}",
            r"suite.yaml:9: .*unknown value 'lorra'; did you mean 'lora'",
        ),
        (
            "models:\n- name: a\n  training: {schedule: one-cycle, warmup_epochs: 2}",
            r"suite.yaml:9: models\[0\].training: schedule one-cycle warms up by itself",
        ),
        (
            "models:\n- name: a\n  training: {warmup_epochs: 3}",
            r"suite.yaml:9: .*warmup_epochs must be fewer than epochs",
        ),
    ],
)
def test_errors_point_to_the_line(body: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        suite(tmp_path, body)


def test_a_model_overrides_its_training_key_by_key_at_every_depth(tmp_path: Path) -> None:
    head = HEAD.replace("lr: 0.5", "lr: 0.5, early_stopping: {patience: 9, validation: 0.3}")
    (model,) = suite(tmp_path, "models:\n- name: a\n  training: {early_stopping: {patience: 2}}", head).models
    assert model.training is not None
    assert model.training.early_stopping == EarlyStopping(patience=2, validation=0.3)
    (model,) = suite(tmp_path, "models:\n- name: a\n  training: {early_stopping: null}", head).models
    assert model.training is not None
    assert model.training.early_stopping is None


def test_data_and_backbone_that_contradict_themselves(tmp_path: Path) -> None:
    models = "models: [{name: a}]"
    with pytest.raises(UserError, match=r"suite.yaml:3: data: source 'imagefolder' needs path"):
        suite(tmp_path, models, HEAD.replace("{classes: [2, 3]}", "{source: imagefolder}"))
    with pytest.raises(UserError, match=r"suite.yaml:2: backbone: has both weights and pretrain"):
        suite(tmp_path, models, HEAD.replace("{pretrain", "{weights: a.pt, pretrain"))


def test_the_splits_of_the_shipped_suites_share_no_class() -> None:
    split = next(s for s in map(load_suite, shipped_suites()) if s.name == "tiny_imagenet_split")
    assert split.backbone is not None
    assert split.backbone.pretrain is not None
    assert split.data.classes == split.backbone.pretrain.data.exclude
    assert len(split.backbone.pretrain.data.exclude) == 10


def test_cifar10_shares_its_backbone_with_the_split() -> None:
    suites = {s.name: s for s in map(load_suite, shipped_suites())}
    assert suites["cifar10"].backbone == suites["tiny_imagenet_split"].backbone
    assert suites["lora_rank"].backbone == suites["fgsm_pgd"].backbone
