"""Whole runs on a GPU that is pretended (tests/builders/pretended_gpu.py), so that nothing that belongs there
is left on the CPU; and on a real one, where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils import backend_registration

from bench.store.cellfile import decode
from bench.store.records import Records
from tests.builders.tiny import TINY

FOLLOWING_GRADIENTS = """
  - {attack: fgsm}
  - {attack: pgd, steps: 3, random_start: true, restarts: 2}
  - {attack: pgd, norm: l2, steps: 3, eps: [1.5]}
  - {attack: pgd, norm: l1, steps: 3, eps: [9.0]}
  - {attack: mi-fgsm, steps: 3}
  - {attack: apgd, steps: 3}
  - {attack: deepfool, steps: 3, eps: [1.5]}
"""
"""They do the same on any device, but for rounding: a GPU gets another form of the model."""
QUICK = """
  - {attack: fmn, norm: l0, steps: 3, eps: [9]}
  - {attack: square, steps: 5}
  - {attack: noise, repeats: 3}
  - {attack: spatial, shifts: 2, rotations: 2, eps: [0.1]}
"""
SLOW = """
  - {attack: cw, steps: 5, eps: [1.5]}
  - {attack: ead, steps: 5, eps: [9.0]}
  - {attack: ddn, steps: 5, eps: [1.5]}
  - {attack: newtonfool, steps: 5, eps: [1.5]}
  - {attack: brendel-bethge, steps: 3, eps: [1.5]}
  - {attack: boundary, steps: 20, eps: [1.5]}
  - {attack: hopskipjump, steps: 1, eps: [1.5]}
  - {attack: geoda, queries: 250, eps: [1.5]}
  - {attack: zoo, steps: 5, eps: [1.5]}
  - {attack: simba, steps: 10, eps: [1.5]}
  - {attack: salt-and-pepper, steps: 10, eps: [1.5]}
"""
MODELS = TINY.partition("attacks:")[0].replace("epochs: 1", "epochs: 4")
"""Trained well enough to tell the classes apart: some attacks start from an image of another one."""
can_pretend = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="in this torch no device can be made in Python",
)


def run(module: str, folder: Path, attacks: str, device: str) -> dict[str, Records]:
    """Each cell's records by its key; the models that ``folder`` has no cache of are trained there too."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(f"{MODELS}attacks:{attacks}")
    results = folder / f"results-{device}"
    where = ["--results", str(results), "--device", device]
    environment = {**os.environ, "BENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, "run", str(folder / "tiny.yaml"), *where]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed: " not in done.stderr, "a trust check that raises"
    return {file.name: decode(file.read_bytes())[0] for file in results.glob("*/*/cells/*.parquet")}


@can_pretend
@pytest.mark.parametrize("others", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["quick", "slow"])
def test_a_whole_run(others: str, tmp_path: Path) -> None:
    found = run("tests.builders.pretended_gpu", tmp_path / "gpu", FOLLOWING_GRADIENTS + others, "pretended")
    expected = run("bench", tmp_path / "cpu", FOLLOWING_GRADIENTS, "cpu")
    assert found.keys() > expected.keys(), "the models are trained to the same weights"
    for key, cpu in expected.items():
        np.testing.assert_array_equal(found[key].success, cpu.success)
        np.testing.assert_allclose(found[key].adv_prob_true, cpu.adv_prob_true, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("others", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["quick", "slow"])
def test_a_whole_run_on_a_real_one(others: str, tmp_path: Path) -> None:
    expected = run("bench", tmp_path, FOLLOWING_GRADIENTS + others, "cpu")
    found = run("bench", tmp_path, FOLLOWING_GRADIENTS + others, "cuda")
    assert found.keys() == expected.keys(), "the weights are those that the CPU trained"
    same = [found[key].success == cpu.success for key, cpu in expected.items()]
    assert np.concatenate(same).mean() > 0.95, "rounding may turn a few"


@can_pretend
@pytest.mark.parametrize(
    "wrong", ["torch.ones(2).to('pretended') + torch.ones(2)", "torch.ones(2).to('pretended').numpy()"]
)
def test_what_a_gpu_refuses_is_refused(wrong: str) -> None:
    script = (
        "import torch\nfrom tests.builders.pretended_gpu import pretended_gpu\nwith pretended_gpu():\n   "
        f" {wrong}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "same device" in done.stderr or "numpy" in done.stderr
