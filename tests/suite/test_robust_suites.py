"""The suites of robust training: what they ask, and that a dry run plans them on data as they expect it."""

from pathlib import Path

import pytest

import bench
from adapters.training.spec import PgdTraining
from bench.cli.commands import main
from bench.ids import ModelId
from bench.scoring.comparison import paired
from bench.scoring.model_ranking import rank_models
from bench.suite.suite import Suite, find_suite, load_suite, suite_from


@pytest.mark.parametrize(
    ("name", "models"), [("cifar10_robust", 12), ("cifar10_robust_cpu", 3), ("tiny_imagenet_robust", 10)]
)
def test_a_dry_run_plans_the_suite(
    name: str,
    models: int,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    assert (
        main(
            [
                "run",
                str(find_suite(name)),
                "--data-root",
                str(data),
                "--results",
                str(tmp_path / "r"),
                "--dry-run",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    suite = load_suite(find_suite(name))
    assert len(suite.models) == models
    assert all(f"{model.name}/0/" in said for model in suite.models)
    assert f"/{max(suite.seeds)}/" in said
    assert not (tmp_path / "r").exists()


def test_robust_lora_asks_the_whole_grid_of_the_question() -> None:
    """{standard, robust backbone} x {full, LoRA-FC, LoRA-FC+Conv1, all convs} x {standard, adversarial}."""
    suite = load_suite(find_suite("robust_lora"))
    found = set()
    for model in suite.models:
        pretrain = suite.backbone_of(model).pretrain
        assert pretrain is not None
        assert model.training is not None
        targets = str(getattr(model.adaptation, "targets", model.adaptation.method))
        found.add((bool(pretrain.training.adversarial), targets, bool(model.training.adversarial)))
    assert len(found) == len(suite.models) == 16
    assert len({targets for _, targets, _ in found}) == 4
    (strong,) = (attack for attack in suite.attacks if attack.attack == "strong")
    assert suite.grid(strong) == (suite.headline,)


@pytest.mark.slow
def test_adversarial_training_beats_standard_training_under_strong(tmp_path: Path) -> None:
    """In full and as LoRA on all convolutions, of a network of half a million parameters, on 100 digits."""
    adversarial = {"adversarial": {"method": "pgd", "eps": "24/255", "steps": 3, "eps_warmup_epochs": 5}}
    lora = {"method": "lora", "r": 16, "alpha": 32, "targets": r"fc|conv1\.[036]|layer.+\.conv\d"}
    pretrain = {
        "data": {"source": "digits", "classes": [0, 2, 4, 6, 8]},
        "training": {"epochs": 8, "lr": 0.05, **adversarial},
    }
    result = bench.run(
        {
            "name": "tiny_robust",
            "backbone": {"architecture": "timm/test_resnet", "pretrain": pretrain},
            "data": {"source": "digits", "classes": [1, 3, 5, 7, 9], "samples": 100},
            "training": {"epochs": 15, "lr": 0.05, "schedule": "one-cycle", "augmentation": "none"},
            "models": [
                {"name": "full"},
                {"name": "full-adv", "training": adversarial},
                {"name": "lora", "adaptation": lora, "training": {"optimizer": "adamw", "lr": 0.005}},
                {
                    "name": "lora-adv",
                    "adaptation": lora,
                    "training": {"optimizer": "adamw", "lr": 0.005, **adversarial},
                },
            ],
            "eps": ["24/255"],
            "attacks": [{"attack": "strong", "steps": 10, "targets": 2, "queries": 50}],
            "trust": "off",
        },
        results=tmp_path,
    )
    robust = rank_models(result.run).worst_cases
    for trained, standard in (("full-adv", "full"), ("lora-adv", "lora")):
        gain = paired(robust[ModelId(trained, 0)].robust > 0, robust[ModelId(standard, 0)].robust > 0)
        assert gain.difference > 0
        assert gain.p_value < 0.001, gain


def suite_with(**training: object) -> Suite:
    return suite_from(
        {
            "name": "s",
            "backbone": {"architecture": "resnet18"},
            "data": {"source": "digits"},
            "training": {"epochs": 5, "adversarial": {"method": "pgd", "eps": "8/255", "steps": 3}},
            "models": [{"name": "own", "training": training}],
            "eps": ["8/255"],
            "attacks": [{"attack": "fgsm"}],
        }
    )


def test_a_model_overrides_the_suites_adversary_key_by_key_or_drops_it() -> None:
    (inherited,) = suite_with(adversarial={"steps": 7}).models
    assert inherited.training is not None
    assert isinstance(inherited.training.adversarial, PgdTraining)
    assert (inherited.training.adversarial.steps, str(inherited.training.adversarial.eps)) == (7, "8/255")
    (dropped,) = suite_with(adversarial=None).models
    assert dropped.training is not None
    assert dropped.training.adversarial is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{method: pgd, eps: 8/255, step: 7}", r"suite.yaml:4: .*unknown key 'step'; did you mean 'steps'"),
        ("{eps: 8/255}", r"suite.yaml:4: .*the key 'method' is missing"),
        ("{method: pdg, eps: 8/255}", r"suite.yaml:4: .*unknown value 'pdg'; did you mean 'pgd'"),
        ("{method: pgd, eps: 8}", r"suite.yaml:4: .*did you mean 8/255"),
        ("pgd", r"suite.yaml:4: "),
    ],
)
def test_a_mistake_is_named_by_its_line(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    file = tmp_path / "suite.yaml"
    file.write_text(
        "name: s\nbackbone: {architecture: resnet18}\ndata: {source: digits}\n"
        f"training: {{epochs: 5, adversarial: {line}}}\n"
        "models: [{name: full}]\neps: [8/255]\nattacks: [{attack: fgsm}]\n"
    )
    assert main(["run", str(file), "--dry-run"]) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert re.search(message, said), said


def test_a_backbone_that_is_trained_whole_has_no_head_to_start_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(
        "name: s\nbackbone:\n  architecture: resnet18\n  pretrain:\n    data: {source: digits, classes: [0,"
        " 1]}\n    training: {epochs: 5, head_start: probe}\ndata: {source: digits, classes: [6, 7]}\nmodels:"
        " [{name: full}]\neps: [8/255]\nattacks: [{attack: fgsm}]\n"
    )
    assert main(["run", str(file), "--dry-run"]) == 2
    assert "head_start" in capsys.readouterr().err
