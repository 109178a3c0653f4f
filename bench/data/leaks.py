"""Images that are attacked and trained on too, or attacked twice: found by their pixels, whatever they are called."""

import hashlib

import numpy as np

from adapters.images import ImageSet
from bench.errors import UserError

MOST = 0.1
"""The share of the attacked images that may be trained on too. Real data sets have some duplicates between their parts: even
near ones are 3 % of CIFAR-10's test images and 10 % of CIFAR-100's (Barz & Denzler 2020, "Do we train on test data?")."""


def about_training(attacked: ImageSet, trained: ImageSet, *, before: bool = False) -> tuple[str, ...]:
    """What to say of attacked images that are trained on too; ``before``: the backbone was.

    Both must have the same size in pixels. Raises UserError for more than ``MOST`` of them, or if they are the very same files.
    """
    there = {digest: i for i, digest in reversed(list(enumerate(_digests(trained))))}
    pairs = [(i, there[digest]) for i, digest in enumerate(_digests(attacked)) if digest in there]
    if not pairs:
        return ()
    how = "pretrained on" if before else "trained on"
    same_files = bool(set(attacked.ids) & set(trained.ids))
    example = f"for example {_pair(attacked, trained, *pairs[0])}"
    if same_files or len(pairs) > MOST * len(attacked):
        fix = (
            "take other classes here than in the suite's data (classes, exclude), or other images"
            if before
            else ("put other images into the part that is attacked")
        )
        raise UserError(
            f"data: {len(pairs)} of the {len(attacked)} attacked images would be {how} too (same pixels), {example}; {fix}"
        )
    other = sum(attacked.classes[attacked.labels[i]] != trained.classes[trained.labels[j]] for i, j in pairs)
    labels = f"; {other} of them under another label" if other else ""
    return (f"{len(pairs)} of {len(attacked)} attacked images are also {how} (same pixels), {example}{labels}",)


def about_duplicates(attacked: ImageSet) -> tuple[str, ...]:
    """What to say of attacked images that are there twice."""
    first: dict[bytes, int] = {}
    pairs = [(i, first[d]) for i, d in enumerate(_digests(attacked)) if first.setdefault(d, i) != i]
    if not pairs:
        return ()
    odd = [pair for pair in pairs if attacked.labels[pair[0]] != attacked.labels[pair[1]]]
    labels = f"; {len(odd)} of them under another label, of which one must be wrong" if odd else ""
    example = _pair(attacked, attacked, *(odd or pairs)[0])
    return (f"{len(pairs)} of {len(attacked)} attacked images repeat another one (same pixels), for example {example}{labels}",)


def _pair(one: ImageSet, other: ImageSet, i: int, j: int) -> str:
    return f"{one.ids[i]} ({one.classes[one.labels[i]]}) and {other.ids[j]} ({other.classes[other.labels[j]]})"


def _digests(images: ImageSet) -> list[bytes]:
    return [hashlib.sha256(image.data).digest() for image in np.ascontiguousarray(images.images)]
