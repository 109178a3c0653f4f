"""A cache that is damaged, hostile, of another version, or on a disk that cannot be written: named, made
anew, never run."""

import errno
import io
import json
import os
import pickle
import resource
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

from adapters.backbones.weights import read_saved
from adapters.cache.card import CARD, Card, read_card
from adapters.cache.folders import TEMPORARY, is_sound, new_folder
from adapters.errors import ModelError
from adapters.files.disk import writing
from adapters.files.names import CONFIG_FILE
from adapters.methods.peft_folder import load_adapter
from adapters.training import resume
from adapters.training.resume import read_state, write_state
from bench.cli.commands import main
from bench.errors import Exit

STATE = {"tuned": {"w": torch.arange(4.0)}, "losses": [0.5, 0.25]}
CARD_FIELDS = {"sha256": "s", "method": "full", "trainable_parameters": 1, "parameters": 2, "losses": [0.5]}


class Payload:
    """A pickle that makes a file if anything of it is run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    """A payload that does run where a pickle is loaded without care."""
    payload = Payload(tmp_path / "ran")
    pickle.loads(pickle.dumps(payload))  # noqa: S301 (this is what must not happen elsewhere)
    payload.target.unlink()
    return payload


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.bin"])
@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_malicious_checkpoint_is_refused_without_being_run(
    name: str, how: str, payload: Payload, tmp_path: Path
) -> None:
    file = tmp_path / name
    if how == "torch":
        torch.save({"conv1.weight": payload}, file)
    else:
        file.write_bytes(pickle.dumps(payload))
    reason = {
        "torch": "Unsupported global: GLOBAL getattr was not an allowed global by default",
        "pickle": r"Unsupported operand \d+",
    }[how]
    with pytest.raises(
        ModelError, match=rf"{name}: refused, since loading it could run code \({reason}\); save"
    ) as caught:
        read_saved(file)
    assert "weights_only" not in str(caught.value)
    assert not payload.target.exists()


def test_a_malicious_adapter_is_refused_without_being_run(payload: Payload, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(json.dumps({"peft_type": "LORA", "r": 2, "target_modules": ["fc"]}))
    torch.save({"base_model.model.fc.lora_A.weight": payload}, folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"no adapter_model.safetensors here.*no pickle"):
        load_adapter(torch.nn.Linear(2, 2), str(folder))
    (folder / "adapter_model.safetensors").write_bytes((folder / "adapter_model.bin").read_bytes())
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        load_adapter(torch.nn.Linear(2, 2), str(folder))
    assert not payload.target.exists()


def test_an_adapter_cannot_have_a_module_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plug.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()")
    monkeypatch.syspath_prepend(str(tmp_path))
    network = torch.nn.Sequential(OrderedDict(fc=torch.nn.Linear(2, 2)))
    get_peft_model(network, LoraConfig(r=2, target_modules=["fc"])).save_pretrained(tmp_path / "a")
    file = tmp_path / "a" / CONFIG_FILE
    honest = json.loads(file.read_text())
    file.write_text(json.dumps({**honest, "megatron_config": {"x": 1}, "megatron_core": "plug"}))
    with pytest.raises(ModelError, match=r"refused, since loading it could run code \(megatron_config"):
        load_adapter(torch.nn.Sequential(OrderedDict(fc=torch.nn.Linear(2, 2))), str(tmp_path / "a"))
    assert not (tmp_path / "ran").exists()
    file.write_text(json.dumps(honest))
    load_adapter(torch.nn.Sequential(OrderedDict(fc=torch.nn.Linear(2, 2))), str(tmp_path / "a"))


def test_a_malicious_state_of_training_is_not_run(
    payload: Payload, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "state.pt"
    write_state(file, {"tuned": payload})  # sealed as ours are: only weights_only stands in the way
    assert read_state(file) is None
    assert "cannot be used (Unsupported global: GLOBAL getattr" in caplog.text
    assert not payload.target.exists()


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    write_state(tmp_path / "state.pt", STATE)
    found = read_state(tmp_path / "state.pt") or {}
    assert torch.equal(found["tuned"]["w"], STATE["tuned"]["w"])  # type: ignore[index]
    assert found["losses"] == STATE["losses"]


def test_any_damage_to_a_state_is_found(tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    write_state(file, STATE)
    data = file.read_bytes()
    undetected = 0
    for position in range(0, len(data), 7):
        for damaged in (
            data[:position],
            data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :],
        ):
            file.write_bytes(damaged)
            undetected += read_state(file) is not None
    assert undetected == 0


def test_a_state_of_another_version_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.pt"
    write_state(file, STATE)
    monkeypatch.setattr(resume, "STATE_VERSION", 3)
    assert read_state(file) is None
    assert (
        f"{file}: the unfinished training cannot be used (damaged, or of another version); it starts again"
        in caplog.text
    )


def cached(cache: Path, card: str) -> Path:
    folder = cache / "models" / "k"
    with new_folder(folder) as temporary:
        (temporary / CARD).write_text(card)
    return folder


def card_in(cache: Path) -> Card | None:
    return read_card(cache / "models" / "k")


@pytest.mark.parametrize(
    "card",
    [
        json.dumps({**CARD_FIELDS, "new": 1}),
        json.dumps({k: v for k, v in CARD_FIELDS.items() if k != "losses"}),
        "[]",
        "{",
    ],
    ids=["newer", "older", "list", "torn"],
)
def test_a_cached_model_of_another_version_is_named_and_not_used(
    card: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cached(tmp_path, json.dumps(CARD_FIELDS))
    assert card_in(tmp_path) == Card("s", "full", 1, 2, (0.5,))
    folder = cached(tmp_path, card)
    assert card_in(tmp_path) is None
    assert f"{folder}: from another version" in caplog.text


DAMAGE: dict[str, Callable[[Path], object]] = {
    "half written": lambda folder: (folder / CARD).write_bytes(b""),
    "a file gone": lambda folder: (folder / CARD).unlink(),
    "no checksums": lambda folder: (folder / "SHA256SUMS").unlink(),
    "empty": lambda folder: list(map(Path.unlink, folder.iterdir())),
    "flipped": lambda folder: (folder / CARD).write_text((folder / CARD).read_text().replace("full", "fulk")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cached_model_is_named_and_not_used(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = cached(tmp_path, json.dumps(CARD_FIELDS))
    DAMAGE[damage](folder)
    assert card_in(tmp_path) is None
    assert f"{folder}: damaged" in caplog.text
    cached(tmp_path, json.dumps(CARD_FIELDS))
    assert card_in(tmp_path) is not None


def test_what_a_killed_process_left_is_no_model_and_goes(tmp_path: Path) -> None:
    left = tmp_path / "models" / f"{TEMPORARY}k-abc"
    left.mkdir(parents=True)
    (left / CARD).write_text(json.dumps(CARD_FIELDS))
    assert card_in(tmp_path) is None
    cached(tmp_path, json.dumps(CARD_FIELDS))
    assert not left.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_cannot_be_written_is_named_and_nothing_is_left(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("adapters.cache.folders._sync", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        cached(tmp_path, json.dumps(CARD_FIELDS))
    assert caught.value.filename == str(tmp_path / "models" / "k")
    assert list((tmp_path / "models").iterdir()) == []
    assert not is_sound(tmp_path / "models" / "k")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_the_command_line_names_what_cannot_be_written(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/cache/models/k")

    monkeypatch.setattr("adapters.cache.zoo.Zoo.ensure", fail)
    assert main(["run", "fgsm_pgd", "--results", str(tmp_path), "--device", "cpu"]) == Exit.INCOMPLETE
    said = capsys.readouterr().err
    assert f"bench: /cache/models/k: cannot be written: {os.strerror(number)}; what is stored stays" in said


def test_safetensors_words_for_a_full_disk_are_understood(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught, writing(tmp_path):
            save_file({"x": torch.zeros(1000)}, tmp_path / "x.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path))


def test_a_state_that_does_not_fit_on_the_disk_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.pt"
    write_state(file, STATE)

    class Full(io.BytesIO):
        def write(self, *_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(descriptor: int, _: str) -> Full:
        os.close(descriptor)
        return Full()

    monkeypatch.setattr("adapters.training.resume.os.fdopen", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_state(file, {**STATE, "losses": []})
    assert caught.value.filename == str(file)
    assert (read_state(file) or {})["losses"] == STATE["losses"]
    assert list(tmp_path.iterdir()) == [file]
