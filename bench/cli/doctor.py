"""Whether this machine is ready to run, and what a run will use.

That is versions, devices, precision, batches, cache, and what is missing.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.attacks.library import AttackLibrary
from bench.attacks.registry import libraries, problem
from bench.clash import installed_beside
from bench.cli.versions import environments, ranges
from bench.engine.job import default_cache
from bench.engine.provenance import PACKAGES, version_of
from bench.executors.cores import allowed, can_fork
from bench.render.plain import Finding, Status
from bench.version import __version__

LOW_DISK = 1_000_000_000
"""Bytes free below which a run may not fit."""
SIDES = (32, 64, 224)
"""Usual image sizes, in pixels."""

OPTIONAL = {
    "transformers": ("transformers", "backbones transformers/FOLDER"),
    "onnxruntime": ("onnx", "backbones onnx/FILE"),
    "onnx2torch": ("onnx", "backbones onnx2torch/FILE"),
    "ray": ("ray", "--executor ray"),
}
"""Packages that some suites need: the extra that brings each, and what it is for."""

BESIDE = (
    "both install a folder of that name, and whichever was installed first is broken: keep them in"
    " separate environments"
)

_OTHER = {"oldest": "newest", "newest": "oldest"}


def examine() -> list[Finding]:
    """Everything that a run rests on."""
    findings = [Finding("bench", __version__), _installed("python", "", "missing")]
    findings += [_installed(package, f"pip install {package}", "missing") for package in PACKAGES]
    for package, (extra, purpose) in OPTIONAL.items():
        findings.append(
            _installed(package, f"{purpose} needs pip install 'lora-robustness-bench[{extra}]'", "note")
        )
    findings += [_library(made) for made in libraries().values()]
    findings.append(_together())
    if (other := installed_beside()) is not None:
        findings.append(
            Finding("adapters", f"AdapterHub's package {other} is installed too; {BESIDE}", "note")
        )
    compute = [] if version_of("torch") is None else [*_devices(), *_precisions(), *_forms()]
    return [*findings, *compute, *_cache(default_cache())]


def _version(name: str) -> str | None:
    """The installed one of a package, or of Python."""
    return platform.python_version() if name == "python" else version_of(name)


def _installed(name: str, absent: str, needed: Status) -> Finding:
    """The version of ``name``, which may be ``needed``; ``absent`` says what to do where there is none."""
    if (found := _version(name)) is None:
        return Finding(name, f"not installed; {absent}", needed)
    known = ranges().get(name)
    return Finding(name, _beside(name, found), "note" if known and known.outside(found) else "ok")


def _beside(name: str, found: str) -> str:
    """The version ``found`` of a package, beside those that were tested if any was."""
    return ranges()[name].beside(found) if name in ranges() else found


def _together() -> Finding:
    """With which versions all tests passed together, and whether what is installed lies between those."""
    tested = environments()
    if not tested:
        return Finding("versions", "no versions have been tested together", "note")
    how = "all tests passed with the oldest of the tested versions together, and with the newest together"
    between = "what is installed lies between"
    if len(tested) == 1:
        (one,) = tested
        how = f"all tests passed with the {one} versions together, but not yet with the {_OTHER[one]}"
        between = "those are installed"
    versions = {name: found for name in ranges() if (found := _version(name)) is not None}
    outside = [
        f"{name} {found}" for name, found in versions.items() if ranges()[name].outside(found) is not None
    ]
    if outside:
        return Finding("versions", f"{how}; outside of that: {', '.join(outside)}", "note")
    return Finding("versions", f"{how}; {between}")


def _library(made: AttackLibrary) -> Finding:
    """Whether an attack library can be used: suites run through it by default, or only those that name it."""
    versions = ", ".join(
        f"{name} {_beside(name, found)}" for name in made.distributions if (found := version_of(name))
    )
    count = len({key.split("/")[0] for key in made.attacks})
    found = f"{count} {'attack' if count == 1 else 'attacks'}, with {versions}"
    reason = problem(made.name)
    return Finding(f"attacks of {made.title}", reason or found, _status(reason, made))


def _status(reason: str | None, made: AttackLibrary) -> Status:
    if reason is None:
        return "ok"
    return "missing" if made.is_default else "note"


def _devices() -> Iterator[Finding]:
    import torch

    cores, fork = allowed(), can_fork()
    how = (
        "a run uses those that are free, one thread on each (--workers)"
        if fork
        else "a run uses one: this is not Linux"
    )
    yield Finding("cpu", f"{cores} usable cores; {how}", "ok" if fork else "note")
    if not torch.cuda.is_available():
        yield Finding("gpu", "none that torch can use; attacks run on the cpu", "note")
    for i in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(i)
        yield Finding(
            f"gpu {i}",
            f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, compute {facts.major}.{facts.minor}",
        )


def _precisions() -> Iterator[Finding]:
    """What a suite's ``precision`` may be on the device that a run takes by default."""
    import torch

    from adapters.precision import unavailable

    device = "cuda" if torch.cuda.is_available() else "cpu"
    yield Finding("precision fp32", "yes; what is crafted in less is judged in it")
    reason = unavailable("tf32", device)
    yield Finding("precision tf32", reason or "yes", "note" if reason else "ok")
    native = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else _cpu_has_bf16()
    emulated = f"possible, but this {device} emulates it: slower than fp32"
    yield Finding(
        "precision bf16", f"yes, native on this {device}" if native else emulated, "ok" if native else "note"
    )


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies in bfloat16 itself: AVX-512 BF16, AMX, or ARM's BF16."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def _forms() -> Iterator[Finding]:
    """In which form and in what batches models are attacked."""
    import torch

    from bench.engine.prepare import batch_on_cpu

    yield Finding(
        "lossless form",
        "frozen, adapter merged, BatchNorm folded; on a CPU channels_last but for large convolutions, and the"
        " first one's gradient by sub-pixels; on a GPU channels_last in tf32 and bf16; the plain form where"
        " that changes logits",
    )
    chosen = ", ".join(f"{batch_on_cpu(side * side)} at {side} px" for side in SIDES)
    found = "the most that fit, found once per model by trying" if torch.cuda.is_available() else chosen
    yield Finding("batch size", f"{found}; halved when memory runs out (batch_size: in a suite sets it)")


def _cache(cache: Path) -> Iterator[Finding]:
    models = len(list((cache / "models").glob("*/card.json")))
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("cache", f"{cache}: cannot be written; set BENCH_CACHE to another folder", "missing")
        return
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    free = shutil.disk_usage(existing).free
    found = f"{cache}: {models} trained models, {size / 1e9:.1f} GB; {free / 1e9:.1f} GB free"
    yield Finding("cache", found, "ok" if free > LOW_DISK else "note")
