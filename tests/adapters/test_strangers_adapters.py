"""Adapter folders from strangers: each is put on the network as plain peft does it, or is refused by name."""

import json
import os
import random
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version
from peft import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapters.cache.checks import check_input, check_model
from adapters.classifier import Classifier
from adapters.errors import ModelError
from adapters.methods.adaptation import save_adapted
from adapters.methods.base import base_of, notes_on_adapter
from adapters.methods.peft_folder import load_adapter, resolve_folder
from adapters.preprocessing import Preprocessing
from tests.adapters.test_models import disturb
from tests.builders.figures import Figure
from tests.builders.small_peft import IMAGES, Small, save_with_peft, with_peft

SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
MANY = int(os.environ.get("BENCH_TORTURE_INPUTS", "20000"))
ELSEWHERE = {
    "ADAPTION_PROMPT", "CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "POLY", "PREFIX_TUNING",
    "PROMPT_TUNING", "P_TUNING", "SHADOW", "TRAINABLE_TOKENS", "XLORA",
}  # fmt: skip
"""Methods of peft that no network of images has a place for."""
EXPECTS = Preprocessing((0.5,) * 3, (0.5,) * 3, "suite")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """A LoRA of plain peft."""
    save_with_peft(tmp_path / "lora", "LORA", disturb, r=2)
    return tmp_path / "lora"


def edit(folder: Path, **fields: Any) -> Path:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def refused(folder: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        load_adapter(Small(), str(folder))
    return str(caught.value)


@pytest.mark.parametrize("method", sorted(str(method.value) for method in PEFT_TYPE_TO_CONFIG_MAPPING))
def test_every_method_of_peft_loads_as_plain_peft_has_it_or_is_refused_by_name(
    method: str, tmp_path: Path
) -> None:
    if method in ELSEWHERE:
        save_with_peft(tmp_path / "a", "LORA", disturb)
        assert f"peft_type {method} is for language models" in refused(edit(tmp_path / "a", peft_type=method))
        return
    save_with_peft(tmp_path / "a", method, disturb)
    if method == "ADAMSS" and Version(version("peft")) < Version("0.20"):
        assert "puts ADAMSS on at random, as another network at each load; upgrade peft to 0.20" in refused(
            tmp_path / "a"
        )
        return
    ours = load_adapter(Small(), str(tmp_path / "a")).eval()
    with torch.no_grad():
        assert torch.equal(ours(IMAGES), with_peft(tmp_path / "a")(IMAGES))
        assert not torch.equal(ours(IMAGES), Small().eval()(IMAGES))


@pytest.mark.parametrize(
    "task",
    ["SEQ_CLS", "CAUSAL_LM", "SEQ_2_SEQ_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION", "x", 3],
)
def test_a_task_type_is_ignored_and_said(task: object, lora: Path) -> None:
    plain = with_peft(lora)
    ours = load_adapter(Small(), str(edit(lora, task_type=task))).eval()
    with torch.no_grad():
        assert torch.equal(ours(IMAGES), plain(IMAGES))
    assert f"lora: task_type {task} is ignored" in notes_on_adapter(Small(), str(lora))[0]


def test_keys_that_this_peft_does_not_know_are_named(lora: Path) -> None:
    plain = with_peft(lora)
    edit(lora, some_new_option=None, another=False, third=[])
    ours = load_adapter(Small(), str(lora)).eval()
    with torch.no_grad():
        assert torch.equal(ours(IMAGES), plain(IMAGES))
    assert (
        "does not know another, some_new_option, third, switched off"
        in notes_on_adapter(Small(), str(lora))[0]
    )
    assert "this peft does not know another, which may change what the adapter does; upgrade peft" in refused(
        edit(lora, another=7)
    )


def test_where_the_head_is_not_known_to_be_the_same_one_it_is_said(tmp_path: Path) -> None:
    save_with_peft(tmp_path / "a", "LORA", disturb)
    (note,) = notes_on_adapter(Small(), str(edit(tmp_path / "a", base_model_name_or_path="google/vit-base")))
    assert (
        "a: the adapter does not hold the head 'fc' that it was trained under (on google/vit-base, as its"
        in note
    )
    assert "judged under the backbone's own" in note
    save_with_peft(tmp_path / "on the head", "LORA", disturb, target_modules=["fc"])
    assert "does not hold the head 'fc'" in notes_on_adapter(Small(), str(tmp_path / "on the head"))[0]
    save_with_peft(tmp_path / "saved", "LORA", disturb, modules_to_save=["fc"])
    assert notes_on_adapter(Small(), str(tmp_path / "saved")) == ()
    ours = load_adapter(Small(), str(tmp_path / "saved"))
    save_adapted(ours, base_of(Small()), tmp_path / "own", EXPECTS)
    assert notes_on_adapter(Small(), str(tmp_path / "own" / "adapter")) == ()


@pytest.mark.parametrize("targets", [["conv"], ["conv", "fc"]])
def test_a_head_that_was_to_be_saved_and_is_not_there_is_refused(targets: list[str], tmp_path: Path) -> None:
    save_with_peft(tmp_path / "a", "LORA", disturb, target_modules=targets)
    message = refused(edit(tmp_path / "a", modules_to_save=["classifier", "fc"]))
    assert (
        "'fc' was trained with this adapter (modules_to_save), but adapter_model.safetensors does not hold it"
        in message
    )


def test_adapters_in_a_sub_folder_or_pickled_get_their_fix(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lora.rename(tmp_path / "run" / "checkpoint-500")
    assert "; there is one in checkpoint-500: name that folder" in refused(tmp_path / "run")
    inside = tmp_path / "run" / "checkpoint-500"
    assert "a file; name the folder that peft saved" in refused(inside / "adapter_model.safetensors")
    torch.save(load_file(inside / "adapter_model.safetensors"), inside / "adapter_model.bin")
    (inside / "adapter_model.safetensors").unlink()
    message = refused(inside)
    assert "adapter_model.bin is here, but no pickle is read: save the adapter again" in message
    assert "safetensors.torch.save_file(torch.load('adapter_model.bin', weights_only=True)" in message


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 2500, "a\0b", "../" * 1700 + "x"])
def test_names_that_no_folder_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="no such adapter folder") as caught:
        resolve_folder(name)
    assert len(str(caught.value)) < 500


SLOW = [
    r"(a+)+",
    r"(.*)*b",
    r"(a|aa)+c",
    r"a?a?a?a?aaaa",
    r".*.*.*.*b",
    r"(?:(?:a*)b*)*",
    r"(a)\1+",
    r"(?=.*a).*",
    "((((" * 50,
    "[",
    "*",
]


@pytest.mark.parametrize("pattern", SLOW)
@pytest.mark.parametrize(
    "field", ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern", "modules_to_save"]
)
def test_patterns_that_could_take_for_ever_are_refused(pattern: str, field: str, lora: Path) -> None:
    value: Any = (
        {pattern: 4} if field.endswith("pattern") else [pattern] if field == "modules_to_save" else pattern
    )
    assert f"adapter_config.json: '{pattern[:50]}" in refused(edit(lora, **{field: value}))


@pytest.mark.parametrize(
    "pattern", ["a|b", r"(?:a|b)", "[ab]", r"(.*\.)?[ab]", r"(?:a|conv\d+|layers\.\d+\.x|b)"]
)
def test_patterns_as_people_write_them_load(pattern: str, lora: Path) -> None:
    plain = with_peft(lora)
    ours = load_adapter(
        Small(), str(edit(lora, target_modules=pattern, rank_pattern={r".*\.none": 4}))
    ).eval()
    with torch.no_grad():
        assert torch.equal(ours(IMAGES), plain(IMAGES))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested more than 32 deep"),
        ('{"a": ' * 40 + "1" + "}" * 40, "nested more than 32 deep"),
        ('"' + '\\"' * 400_000, "not whole JSON"),
        ("x" * 2**21, "larger than 1,048,576 bytes"),
        ("[]", "not an object"),
        ('{"peft_type": "LORA", "r": NaN}', "NaN is not a number"),
        ('{"peft_type": "LORA", "r": ' + "9" * 5000 + "}", "not whole JSON"),
        ('{"peft_type": "LORA"', "not whole JSON"),
        ('{"peft_type": "GONE"}', "peft_type GONE is not one that this peft knows"),
        ('{"peft_type": ["LORA"]}', "is not one that this peft knows"),
        ("{}", "peft_type None"),
        ('{"peft_type": "LORA", "r": 100000000, "target_modules": ["a"]}', "r is larger than any side"),
        ('{"peft_type": "LORA", "init_lora_weights": "pissa_niter_99999999"}', "init_lora_weights is larger"),
        ("\udcff", "not whole JSON"),
    ],
)  # fmt: skip
def test_configurations_that_are_none_are_refused_at_once(text: str, reason: str, lora: Path) -> None:
    (lora / "adapter_config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    started = time.process_time()
    assert reason in refused(lora)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: (t * 100).to(torch.int8), "is int8, not float32"),
        (lambda t: t.to(torch.complex64), "is complex64, not float32"),
        (lambda t: t * float("nan"), "not finite"),
        (lambda t: t[:1], "does not fit the backbone"),
    ],
)
def test_tensors_that_are_no_weights_of_an_adapter_are_refused(change: Any, reason: str, lora: Path) -> None:
    file = lora / "adapter_model.safetensors"
    save_file({name: change(tensor).clone() for name, tensor in load_file(file).items()}, file)
    assert reason in refused(lora)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_adapters_in_other_precisions_are_those_of_plain_peft(kind: torch.dtype, lora: Path) -> None:
    file = lora / "adapter_model.safetensors"
    save_file({name: tensor.to(kind) for name, tensor in load_file(file).items()}, file)
    with torch.no_grad():
        assert torch.equal(load_adapter(Small(), str(lora)).eval()(IMAGES), with_peft(lora)(IMAGES))


NASTY: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 1000, 10**9, 10**400, 0.5, -0.0, 1e308, 1e-320, "", "a", "fc",
    "all-linear", "none", "all", "lora_only", "LORA", "IA3", "VERA", "OFT", "pissa", "olora", "eva", "corda",
    "loftq", "orthogonal", "gaussian", "pissa_niter_4", "\ud800", "\0", "[31m", "../../etc/passwd",
    "x" * 5000, "(a+)+", ".*", "[", "a|b", "{}", "%s", [], {}, [[]], ["a"], ["a", None], ["a", 1], [1, 2],
    {"a": 1}, {"a": "b"}, {".*": 2}, {"a": {"b": []}}, {"": 0}, [True],
    ["*"], ["fc", "conv", "norm"], "SEQ_CLS",
]  # fmt: skip
"""Values that have broken readers of configurations."""
METHODS = (
    "LORA",
    "ADALORA",
    "IA3",
    "LOHA",
    "LOKR",
    "OFT",
    "BOFT",
    "HRA",
    "VERA",
    "FOURIERFT",
    "LN_TUNING",
    "VBLORA",
)


def mutate(fields: dict[str, Any], rng: random.Random) -> str:
    """``fields`` with one thing changed, or a few, as text."""
    fields = dict(fields)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name, other = rng.choice(list(fields)), rng.choice(list(fields))
        match rng.randrange(6):
            case 0 | 1 | 2:
                fields[name] = rng.choice(NASTY)
            case 3:
                fields[name], fields[other] = fields[other], fields[name]
            case 4:
                fields[str(rng.choice(NASTY))] = fields.pop(name)
            case _:
                fields[name] = {"a": fields[name]} if rng.random() < 0.5 else [fields[name]]
        if not fields:
            break
    text = json.dumps(fields)
    if rng.random() < 0.1:
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice(['"', "[", "]", "{", "}", ",", "\\", "\0", "é", "1e999", ""])
            + text[at + rng.choice((0, 1, 9)) :]
        )
    return text


def answer(folder: Path, text: str) -> str:
    """ "loaded" or "refused": all that may happen on the way from a folder to the cached model.

    Loaded, it is plain peft's.
    """
    (folder / "adapter_config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        network = Small()
        base = base_of(network)
        notes_on_adapter(network, str(folder))
        classifier = Classifier(
            load_adapter(network, str(folder)), mean=(0.5,) * 3, std=(0.5,) * 3, num_classes=4
        )
        check_input(classifier, (3, 8, 8))
        check_model(classifier.eval(), IMAGES, trained=False)
        with torch.inference_mode():
            ours = classifier.network(IMAGES)
            assert torch.equal(ours, plainly(folder, ours))
        save_adapted(classifier.network, base, folder / "out", EXPECTS)
        load_adapter(Small(), str(folder / "out" / "adapter"))
    except ModelError:
        return "refused"
    return "loaded"


def plainly(folder: Path, ours: Tensor) -> Tensor:
    """The logits of plain peft with ``folder``; ``ours`` where it has none (a task type not of images)."""
    try:
        logits: Tensor = with_peft(folder)(IMAGES)
    except Exception:  # noqa: BLE001 (as peft fails)
        return ours
    return logits


def fuzz(tmp_path: Path, count: int) -> tuple[list[str], float]:
    """The answers to ``count`` mutated configurations, and the seconds of the slowest."""
    rng, answers, slowest = random.Random(SEED), [], 0.0
    originals = {}
    for method in METHODS:
        save_with_peft(tmp_path / method, method, disturb)
        originals[method] = json.loads((tmp_path / method / "adapter_config.json").read_text())
    for _ in range(count):
        method = rng.choice(METHODS)
        started = time.process_time()
        answers.append(answer(tmp_path / method, mutate(originals[method], rng)))
        slowest = max(slowest, time.process_time() - started)
    return answers, slowest


def test_mutated_configurations_load_or_are_refused(tmp_path: Path) -> None:
    answers, slowest = fuzz(tmp_path, 300)
    assert {"loaded", "refused"} == set(answers)
    assert slowest < 10


@pytest.mark.slow
def test_many_mutated_configurations(tmp_path: Path, figure: Figure) -> None:
    answers, slowest = fuzz(tmp_path, MANY)
    figure(
        f"5 adapter configurations (seed {SEED}): {len(answers)} mutated, {answers.count('loaded')} still"
        f" adapters, {answers.count('refused')} refused by name, 0 tracebacks, slowest {slowest:.2f} s"
    )
    assert len(answers) == MANY
    assert slowest < 30
