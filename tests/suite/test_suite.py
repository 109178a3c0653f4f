"""Suites: what is wrong, where, and the fix."""

from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from adapters.methods.registry import Declared
from adapters.spec import Adaptation
from bench.cli.commands import main
from bench.eps import eps_text, parse_eps
from bench.errors import Exit, UserError
from bench.suite.suite import Suite, find_suite, load_suite, shipped_suites
from tests.builders.tiny import TINY

ADAPTATION: TypeAdapter[Adaptation] = TypeAdapter(Declared)


def write(folder: Path, *edits: tuple[str, str]) -> Path:
    """The tiny suite with ``edits`` in ``folder``."""
    text = TINY
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = folder / "suite.yaml"
    path.write_text(text)
    return path


WRONG = {
    "unknown key": (("steps: 3", "stpes: 3"), ":19: unknown key 'stpes'; did you mean 'steps'?"),
    "eps of pixels": (("eps: [2/255, 16/255]", "eps: 8"), ":15: eps: eps 8 is larger than the whole pixel range [0, 1]; did you mean 8/255?"),
    "seeds beyond any plan": (("eps: [2/255", f"seeds: {list(range(15_000))}\neps: [2/255"), ":15: seeds: has 15000 entries; at most 100 can be planned"),
    "negative eps": (("[2/255,", "[-2/255,"), ":15: eps[0]: -2/255 is not positive"),
    "eps no number": (("[2/255,", "[tiny,"), ":15: eps[0]: 'tiny' is not a number"),
    "eps twice": (("[2/255, 16/255]", "[16/255, 16/255]"), ":15: eps[1]: duplicate eps '16/255'; leave one out"),
    "no attacks": (("  - attack: fgsm\n  - {attack: pgd, steps: 3, rel_step_size: 0.5}\n", "  []\n"), ":17: attacks: is empty"),
    "a name for a mapping": (("  - attack: fgsm", "  - fgsm"), ":18: attacks[0]: is not a mapping; write keys and values, like {attack: fgsm}"),
    "a folder for data": (("data: {source: digits, classes: [6, 7], size: 16, samples: 12}", "data: photos"), ": data: is not a mapping; write keys and values, like {source: imagefolder, path: FOLDER}"),
    "an adapter that is there": (("method: lora, r: 4", "method: lora, path: a, r: 4"), "unknown key 'path'; known: alpha, dropout, method, r, targets; an adapter that peft saved is {method: peft, path: FOLDER}"),
    "a name that is a boolean": (("architecture: resnet18", "architecture: no"), ":4: backbone.architecture: is false to YAML, which is not text; quote it"),
    "a key without a file": (("  - {name: baseline,", "  - {name: baseline, weights: IMAGENET1K_V1, key: ema,"), ":11: key chooses within a file; name the file as weights beside it"),
    "a key beside a backbone": (("  - {name: baseline,", "  - {name: baseline, backbone: {weights: a.pt}, prefix: m,"), ":11: prefix chooses within a file; name the file as weights beside it, within its backbone"),
    "one mean": (("  architecture: resnet18", "  mean: 0.5\n  architecture: resnet18"), ":4: backbone.mean: must be three numbers, one for each of red, green and blue, like [0.5, 0.5, 0.5]"),
    "mean of one channel": (("  architecture: resnet18", "  std: [0.5]\n  architecture: resnet18"), ":4: backbone.std: must be three numbers, one for each of red, green and blue, like [0.5, 0.5, 0.5]"),
    "bytes": (("  architecture: resnet18", "  mean: [127.5, 0, 0]\n  architecture: resnet18"), ":4: mean: on the scale from 0 to 255, but images are in [0, 1]: divide by 255"),
    "unknown attack": (("attack: fgsm", "attack: fgms"), ":18: attacks[0]: unknown value 'fgms'; did you mean 'fgsm'?"),
    "unknown library": (("attack: fgsm", "attack: fgsm\n    libraries: [arts]"), ":19: attacks[0].libraries[0]: unknown value 'arts'; did you mean 'art'?"),
    "duplicate model": (("name: lora-fc", "name: baseline"), ":12: models[1]: duplicate model name 'baseline'"),
    "both step sizes": (("rel_step_size: 0.5", "rel_step_size: 0.5, step_size: 1/255"), ":19: attacks[1]: give step_size or rel_step_size, not both"),
    "headline not run": (("headline_eps: 16/255", "headline_eps: 3/255"), ":16: headline_eps: no attack of this suite is run at eps 3/255"),
    "headline in two norms": (("  - attack: fgsm", "  - attack: fgsm\n  - {attack: fmn, norm: l2}"), ":19: attacks[1]: 'fmn-l2' is in l2 and 'fgsm' in linf, both at the headline eps 16/255"),
    "cw that tries nothing": (("  - attack: fgsm", "  - {attack: cw, norm: linf, initial_const: 20}"), ":18: attacks[0]: initial_const must be below largest_const, or nothing is tried"),
    "missing key": (("name: tiny\n", ""), ":1: the key 'name' is missing"),
    "name with a path": (("name: tiny", "name: ../tiny"), ":2: name: '../tiny' is not a name"),
    "key twice": (("name: tiny", "name: tiny\nname: tiny"), ":3: key 'name' is given twice (first on line 2)"),
    "broken YAML": (("attacks:", "attacks: ["), "not valid YAML"),
    "inherited training": (("training: {epochs: 1, lr: 0.01", "training: {epochs: many, lr: 0.01"), ":9: training.epochs: input should be a valid integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_one_clear_message(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, message = WRONG[case]
    path = write(tmp_path, edit)
    results = tmp_path / "results"
    assert main(["run", str(path), "--results", str(results)]) == Exit.USAGE
    printed = capsys.readouterr()
    assert message in printed.err
    assert str(path) in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not printed.out
    assert not results.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a mapping"),
        (b"- a\n- b\n", "is not a mapping"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: &a [*a]", "contains itself"),
        (b"[" * 5000, "nested too deeply"),
        (b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
            b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % ((c, c) + (c - 1,) * 10) for c in range(ord("b"), ord("k"))
        ), "once its aliases are expanded"),
        (b"x" * 2_000_000, "larger than 100,000 bytes"),
        (b"a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
    ids=["empty", "list", "bytes", "recursive alias", "deep", "bomb", "huge", "python tag"],
)  # fmt: skip
def test_hostile_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_suite(path)


def test_missing_file_names_the_shipped_suites() -> None:
    with pytest.raises(UserError, match=r"fgsm_pdg\.yaml: no such suite file; did you mean 'fgsm_pgd'"):
        find_suite("fgsm_pdg.yaml")


def test_shipped_suites_are_found_by_name_and_are_valid() -> None:
    assert find_suite("fgsm_pgd") == next(path for path in shipped_suites() if path.stem == "fgsm_pgd")
    for path in shipped_suites():
        assert load_suite(path).name == path.stem
        assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=suite.schema.json"


def test_default_suite_asks_what_the_readme_says() -> None:
    suite = load_suite(find_suite("fgsm_pgd"))
    assert [m.name for m in suite.models] == ["baseline", "lora-fc", "lora-fc-conv1"]
    assert [a.label for a in suite.attacks] == ["fgsm", "pgd-10"]
    assert all(len(suite.grid(a)) == 6 and suite.carriers_of(a) == ("foolbox", "art") for a in suite.attacks)
    pretrain = suite.backbone_of(suite.models[0]).pretrain
    assert pretrain is not None
    source, target = pretrain.data.classes, suite.data.classes
    assert (source, target) == ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), "source and target share no class"


def test_a_model_overrides_the_suites_training_key_by_key(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path))
    full, lora = (model.training for model in suite.models)
    assert full is not None
    assert lora is not None
    assert (full.optimizer, full.lr, full.epochs) == ("sgd", 0.01, 1)
    assert (lora.optimizer, lora.lr, lora.epochs) == ("adamw", 0.01, 1)


@pytest.mark.parametrize(
    ("written", "eps", "shown"),
    [
        ("8/255", Fraction(8, 255), "8/255"),
        ("15/255", Fraction(1, 17), "15/255"),
        ("0.03", Fraction(3, 100), "0.03"),
        ("1e-3", Fraction(1, 1000), "0.001"),
        (0.5, Fraction(1, 2), "0.5"),
        (1, Fraction(1), "1"),
        ("12/255", Fraction(4, 85), "12/255"),
        ("1/1020", Fraction(1, 1020), "1/1020"),
        ("0.2", Fraction(1, 5), "0.2"),
        ("256/255", Fraction(256, 255), "256/255"),
        ("3.5e-5", Fraction(7, 200_000), "3.5e-05"),
        ("2/3", Fraction(2, 3), "170/255"),
    ],
)
def test_eps_is_read_exactly(written: object, eps: Fraction, shown: str) -> None:
    assert parse_eps(written) == eps
    assert eps_text(eps) == shown


@pytest.mark.parametrize("path", shipped_suites(), ids=lambda path: path.stem)
def test_a_suite_that_is_sent_as_json_is_the_same_to_the_type_of_each_default(path: Path) -> None:
    """Ray's workers and `bench reproduce` read it so, and an adapter's file, by which a model is named, tells 16 from 16.0."""
    suite = load_suite(path)
    assert repr(Suite.model_validate_json(suite.model_dump_json())) == repr(suite)


@pytest.mark.parametrize("method", ["lora", "dora", "loha", "lokr", "oft", "boft", "hra"])
def test_every_adaptation_is_the_same_when_sent_as_json(method: str) -> None:
    spec = ADAPTATION.validate_python({"method": method, "targets": ["fc"]})
    assert repr(ADAPTATION.validate_json(spec.model_dump_json())) == repr(spec)
