"""Where and with what a run was made."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.attacks.registry import all_distributions
from bench.version import __version__

PROJECT = ("bench", "adapters")
PACKAGES = (
    "torch", "torchvision", "peft", "timm", "numpy", "scikit-learn", "pillow", "safetensors", "scipy",
    "pyarrow", "pydantic",
)  # fmt: skip


def collect(device: str, more: Iterable[str] = ()) -> dict[str, Any]:
    """Versions, device, commit, code, command line and time of the run about to start.

    ``more`` are distributions that its models need beside those that every run does.
    """
    import torch

    return {
        "bench_version": __version__,
        "commit": _own_git("rev-parse", "HEAD"),
        "dirty": _is_dirty(),
        "code": code(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device,
        "device_name": _device_name(device),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "packages": (
            {name: version_of(name) for name in PACKAGES} | _installed(more) | _installed(all_distributions())
        ),
        "command": shlex.join(sys.argv),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _installed(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    return {name: found for name in distributions if (found := version_of(name))}


def code() -> str:
    """The sha256 of all modules of the project, as they lie on disk."""
    digest = hashlib.sha256()
    for package in PROJECT:
        folder = Path(__file__).parent.parent.parent / package
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _is_dirty() -> bool:
    """Whether what was committed differs from what runs.

    That is a change of any file but results, or a module that git does not know. Other files that git does
    not know, like a suite being written, stand in run.json or change nothing.
    """
    status = (
        _own_git("status", "--porcelain", "--untracked-files=all", "--", ":/", ":(top,exclude)results") or ""
    )
    return any(not line.startswith("??") or _is_module(line[3:].strip('"')) for line in status.splitlines())


def _is_module(file: str) -> bool:
    return file.endswith(".py") and file.startswith(tuple(f"{package}/" for package in PROJECT))


def _processor() -> str:
    """The processor's model: another one may round otherwise."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    known = [facts[key] for key in ("model name", "cpu family", "model", "stepping") if key in facts]
    return " / ".join(known) or platform.processor()


def _device_name(device: str) -> str:
    import torch

    return (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else platform.processor() or platform.machine()
    )


def version_of(distribution: str) -> str | None:
    """The installed version, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def repository(folder: Path, results: Path) -> dict[str, Any] | None:
    """The commit of the repository that ``folder`` lies in, and whether a file that it knows was changed.

    None where there is none, or if it is the project's own, of which ``collect`` speaks. Changes in
    ``results`` do not count.
    """
    root = _git("rev-parse", "--show-toplevel", at=folder)
    if root is None or Path(root) == _checkout():
        return None
    inside = (
        results.resolve().is_relative_to(Path(root).resolve()) and results.resolve() != Path(root).resolve()
    )
    but = [f":(top,exclude){results.resolve().relative_to(Path(root).resolve())}"] if inside else []
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *but, at=folder)
    return {"commit": _git("rev-parse", "HEAD", at=folder), "dirty": bool(changed)}


def _checkout() -> Path:
    return Path(__file__).parents[2]


def _own_git(*arguments: str) -> str | None:
    """What git says in the project's checkout; None where this is none.

    An environment may lie in somebody's repository.
    """
    root = _git("rev-parse", "--show-toplevel", at=_checkout())
    return (
        _git(*arguments, at=_checkout()) if root is not None and Path(root) == _checkout().resolve() else None
    )


def _git(*arguments: str, at: Path) -> str | None:
    """What git says in the folder ``at``; None where it says nothing."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=at, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
