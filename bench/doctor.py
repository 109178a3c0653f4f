"""Is this machine ready to run? Versions, device, cache, and what is missing."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import __version__
from bench.job import default_cache
from bench.provenance import PACKAGES, version_of

LOW_DISK = 1_000_000_000
"""Bytes free below which a run may not fit."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    found: str
    status: Literal["ok", "note", "missing"] = "ok"


def examine() -> list[Finding]:
    """Everything that a run rests on."""
    findings = [Finding("bench", __version__), Finding("python", platform.python_version())]
    for package in PACKAGES:
        found = version_of(package)
        findings.append(Finding(package, found or f"not installed; pip install {package}", "ok" if found else "missing"))
    return [*findings, *_compute(), *_cache(default_cache())]


def _compute() -> list[Finding]:
    if version_of("torch") is None:
        return []
    import torch

    cpu = Finding("cpu", f"{len(os.sched_getaffinity(0))} cores free to use, torch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        return [cpu, Finding("gpu", "none that torch can use; attacks run on the cpu", "note")]
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [cpu, Finding("gpu", ", ".join(names))]


def _cache(cache: Path) -> list[Finding]:
    models = len(list((cache / "models").glob("*/card.json")))
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return [Finding("cache", f"{cache}: cannot be written; set BENCH_CACHE to another folder", "missing")]
    free = shutil.disk_usage(existing).free
    status: Literal["ok", "note"] = "ok" if free > LOW_DISK else "note"
    return [Finding("cache", f"{cache}: {models} trained models, {free / 1e9:.1f} GB free", status)]
