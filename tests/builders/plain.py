"""What a user would write without us: a folder of images, FGSM and PGD in a plain loop, and the samples of
a run beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    import bench

EPS, STEPS, STEP = 4 / 255, 5, 1 / 255
ATTACKS = """eps: [4/255]
attacks: [{attack: fgsm}, {attack: pgd, steps: 5, step_size: 1/255}]
trust: off
"""
Logits = Callable[[Tensor], Tensor]
"""Images in [0, 1] to logits."""


def pictures(count: int, size: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth random images, N x size x size x 3: noise of 4 x 4 patches, scaled up."""
    rng = np.random.default_rng(seed)
    coarse = [Image.fromarray(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)) for _ in range(count)]
    return np.stack([np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)) for image in coarse])


def save_pictures(folder: Path, images: npt.NDArray[np.uint8], names: list[str]) -> None:
    """Write each image as a PNG into the folder of its class."""
    for i, (image, name) in enumerate(zip(images, names, strict=True)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name / f"{i:03d}.png")


def batch(images: npt.NDArray[np.uint8]) -> Tensor:
    """As tensors in [0, 1], N x 3 x H x W."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255


def gradient(logits: Logits, x: Tensor, y: Tensor) -> Tensor:
    """Of the summed cross-entropy."""
    inputs = x.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(F.cross_entropy(logits(inputs), y, reduction="sum"), inputs)
    return found


def fgsm(logits: Logits, x: Tensor, y: Tensor) -> Tensor:
    """One step of size EPS."""
    return (x + EPS * gradient(logits, x, y).sign()).clamp(0, 1)


def pgd(logits: Logits, x: Tensor, y: Tensor) -> Tensor:
    """STEPS of size STEP from the image itself."""
    found = x
    for _ in range(STEPS):
        found = found + STEP * gradient(logits, found, y).sign()
        found = (x + (found - x).clamp(-EPS, EPS)).clamp(0, 1)
    return found


def by_hand(logits: Logits, images: npt.NDArray[np.uint8], labels: list[int]) -> dict[str, list[int]]:
    """Each image's predictions: clean, and after each attack, which only those that are right undergo."""
    x, y = batch(images), torch.tensor(labels)
    with torch.no_grad():
        clean = logits(x).argmax(1)
    found = {"clean": clean.tolist()}
    for name, attack in (("fgsm", fgsm), ("pgd", pgd)):
        right = clean == y
        after = clean.clone()
        if right.any():
            adversarial = attack(logits, x[right], y[right])
            with torch.no_grad():
                after[right] = logits(adversarial).argmax(1)
        found[name] = after.tolist()
    return found


def by_bench(result: "bench.Result", model: str, library: str) -> dict[str, list[int]]:
    """The same of a run of ATTACKS; images in the order of the numbers in their files' names."""
    rows = result.samples
    rows = rows[(rows.model == model) & (rows.library == library)]
    found: dict[str, list[int]] = {}
    for attack, those in rows.groupby("attack"):
        order = those.id.map(lambda name: int(Path(name).stem)).argsort()
        sorted_rows: Any = those.iloc[order]
        found["clean"] = sorted_rows.clean_pred.tolist()
        found[str(attack).partition("-")[0]] = sorted_rows.adv_pred.tolist()
    return found


@torch.no_grad()
def fit_head(network: torch.nn.Module, head: torch.nn.Linear, x: Tensor, outputs: list[int]) -> None:
    """Set the rows of ``head`` so that ``network`` says of each of ``x`` (normalised) its entry of
    ``outputs``, nearly always.

    By ridge regression on what goes into the head; the other rows stay as they are, below zero.
    """
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().flatten(1)))
    network(x)
    hook.remove()
    features = torch.cat([seen[0], torch.ones(len(x), 1)], dim=1).double()
    wanted = torch.full((len(x), head.out_features), -1.0, dtype=torch.double)
    wanted[torch.arange(len(x)), torch.tensor(outputs)] = 3.0
    inner = features.T @ features
    solved = torch.linalg.solve(inner + 1e-6 * inner.trace() * torch.eye(len(inner)), features.T @ wanted)
    head.weight.copy_(solved[:-1].T)
    head.bias.copy_(solved[-1])
