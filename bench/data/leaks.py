"""Images that are attacked and trained on, or attacked twice: found by pixels, whatever they are called."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from adapters.images import ImageSet
from bench.errors import UserError

MOST = 0.1
"""The share of the attacked images that may be trained on too.

Real data sets have some duplicates between their parts: even
near ones are 3 % of CIFAR-10's test images and 10 % of CIFAR-100's (Barz & Denzler 2020, "Do we train on test
data?").
"""
GRID, NEAR, CONTRAST = 8, 3.0, 20.0
"""Two images are nearly the same if the means of ``GRID`` x ``GRID`` parts differ by at most ``NEAR``.

``NEAR`` is of 255 (root mean square). Copies at another size or as a JPEG differ by 0.2 to 2.6, the nearest
two of scikit-learn's digits by 10. An image whose own parts vary by less than ``CONTRAST`` is like many
others.
"""
CHUNK = 4096
Coarse = npt.NDArray[np.float32]


def about_training(attacked: ImageSet, trained: ImageSet, *, before: bool = False) -> tuple[str, ...]:
    """What to say of attacked images that are trained on too; ``before``: the backbone was.

    Both must have the same size in pixels. Raises UserError for more than ``MOST`` of them, or if they are
    the very same files.
    """
    there = {digest: i for i, digest in reversed(list(enumerate(_digests(trained))))}
    pairs = [(i, there[digest]) for i, digest in enumerate(_digests(attacked)) if digest in there]
    how = "pretrained on" if before else "trained on"
    near = _about_near_ones(attacked, trained, {i for i, _ in pairs}, how)
    if not pairs:
        return near
    same_files = bool(set(attacked.ids) & set(trained.ids))
    example = f"for example {_pair(attacked, trained, *pairs[0])}"
    if same_files or len(pairs) > MOST * len(attacked):
        fix = (
            "take other classes here than in the suite's data (classes, exclude), or other images"
            if before
            else ("put other images into the part that is attacked")
        )
        raise UserError(
            f"data: {len(pairs)} of the {len(attacked)} attacked images would be {how} too (same pixels),"
            f" {example}; {fix}"
        )
    other = sum(attacked.classes[attacked.labels[i]] != trained.classes[trained.labels[j]] for i, j in pairs)
    labels = f"; {other} of them under another label" if other else ""
    return (
        f"{len(pairs)} of {len(attacked)} attacked images are also {how} (same pixels), {example}{labels}",
        *near,
    )


def _about_near_ones(attacked: ImageSet, trained: ImageSet, same: set[int], how: str) -> tuple[str, ...]:
    """What to say of attacked images (but the ``same``) of which a copy with other pixels is trained on.

    It is said and not refused, however many they are: pictures taken alike, as X-rays are, may be that near.
    """
    pairs = [(i, j) for i, j in _near(_coarse(attacked), _coarse(trained)) if i not in same]
    if not pairs:
        return ()
    example = _pair(attacked, trained, *pairs[0])
    return (
        (
            f"{len(pairs)} of {len(attacked)} attacked images are nearly the same as images that are {how},"
            f" as copies at another size or compression are, for example {example}"
        ),
    )


def _coarse(images: ImageSet) -> Coarse:
    """The means of the parts of each image in each channel, less 128; N x (3 * GRID * GRID)."""
    edges = np.linspace(0, images.images.shape[-1], GRID + 1).astype(int)
    area = np.outer(np.diff(edges), np.diff(edges))
    found = np.empty((len(images), 3 * GRID * GRID), dtype=np.float32)
    for start in range(0, len(images), CHUNK):
        part = images.images[start : start + CHUNK]
        rows = np.add.reduceat(part, edges[:-1], axis=2, dtype=np.uint32)
        found[start : start + CHUNK] = (np.add.reduceat(rows, edges[:-1], axis=3) / area - 128).reshape(
            len(part), -1
        )
    return found


def _near(ones: Coarse, others: Coarse) -> Iterator[tuple[int, int]]:
    """For each of ``ones`` that has contrast the nearest of ``others``, if it is near."""
    index = np.flatnonzero(ones.std(1) >= CONTRAST)
    if not len(index) or not len(others):
        return
    best, nearest = np.full(len(index), np.inf), np.zeros(len(index), dtype=np.int64)
    for start in range(0, len(others), CHUNK):
        part = others[start : start + CHUNK]
        apart = (part**2).sum(1) - 2 * ones[index] @ part.T
        closest = apart.argmin(1)
        nearer = apart[np.arange(len(index)), closest] < best
        best[nearer], nearest[nearer] = apart[nearer, closest[nearer]], start + closest[nearer]
    mean_square = (best + (ones[index] ** 2).sum(1)) / ones.shape[1]
    for i, j in zip(index[mean_square <= NEAR**2], nearest[mean_square <= NEAR**2], strict=True):
        yield int(i), int(j)


def about_duplicates(attacked: ImageSet) -> tuple[str, ...]:
    """What to say of attacked images that are there twice."""
    first: dict[bytes, int] = {}
    pairs = [(i, first[d]) for i, d in enumerate(_digests(attacked)) if first.setdefault(d, i) != i]
    if not pairs:
        return ()
    odd = [pair for pair in pairs if attacked.labels[pair[0]] != attacked.labels[pair[1]]]
    labels = f"; {len(odd)} of them under another label, so one of the two must be wrong" if odd else ""
    example = _pair(attacked, attacked, *(odd or pairs)[0])
    return (
        (
            f"{len(pairs)} of {len(attacked)} attacked images repeat another one (same pixels), for example"
            f" {example}{labels}"
        ),
    )


def _pair(one: ImageSet, other: ImageSet, i: int, j: int) -> str:
    return (
        f"{one.ids[i]} ({one.classes[one.labels[i]]}) and {other.ids[j]} ({other.classes[other.labels[j]]})"
    )


def _digests(images: ImageSet) -> list[bytes]:
    return [hashlib.sha256(image.data).digest() for image in np.ascontiguousarray(images.images)]
