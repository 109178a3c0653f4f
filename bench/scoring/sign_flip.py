"""The exact sign-flip test of whether the mean of paired differences is zero.

McNemar's test is its case of differences of 0 and 1.
"""

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.float64]
FINEST = 1024
"""Steps of 1 / FINEST are the finest lattice that differences are taken to lie on."""
WORK = 10**7
"""Values of the characteristic function up to which a lattice is fine enough.

Otherwise differences are rounded to half of it.
"""
ON_LATTICE = 1e-3
"""How far, in steps, float32 rounding may carry a difference off its lattice."""
ROUNDING = 1e-12


def sign_flip(differences: Row, *, mid: bool = True) -> float:
    """Two-sided p-value of the sign-flip test on paired ``differences`` (N, from -1 to 1); 1 if none differ.

    Each difference is as likely to have come with the other sign, if the two sides are alike (Fisher 1935).
    All 2^N choices of signs are counted, by the characteristic function of their sum on the lattice that the
    differences lie on. With ``mid`` the sum that was seen counts half (Lancaster 1961), as in ``mid_p``;
    without, this is the exact test of ``mcnemar``.
    """
    steps = _on_lattice(differences)
    sizes, counts = np.unique(np.abs(steps[steps != 0]), return_counts=True)
    observed, most = abs(int(steps.sum())), int((sizes * counts).sum())
    if observed == 0:
        return 1.0
    probabilities = _sums(sizes, counts, most)
    at_least = 2 * float(probabilities[observed:].sum())
    return min(1.0, at_least - float(probabilities[observed]) if mid else at_least)


def _sums(sizes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], most: int) -> Row:
    """The probability of each sum from 0 to ``most`` of randomly signed ``sizes``, each ``counts`` times."""
    length = 2 * most + 2
    angle = 2 * np.pi * np.arange(length // 2 + 1) / length
    spectrum = np.ones_like(angle)
    for size, count in zip(sizes, counts, strict=True):
        spectrum *= np.cos(angle * size) ** count
    found: Row = np.fft.irfft(spectrum, length)[: most + 1]
    return np.where(found < ROUNDING / length, 0.0, found)


def _on_lattice(differences: Row) -> npt.NDArray[np.int64]:
    """``differences`` in steps of the lattice they lie on, or of a near one that can be reckoned with."""
    finest = _finest(differences)
    while True:
        steps = np.rint(differences * finest).astype(np.int64)
        if finest == 1 or len(np.unique(np.abs(steps))) * int(np.abs(steps).sum()) <= WORK:
            return steps
        finest //= 2


def _finest(differences: Row) -> int:
    """The fewest steps in 1 that all ``differences`` are whole numbers of; FINEST if none fits."""
    distinct = np.unique(np.abs(differences))
    for steps in range(1, FINEST):
        scaled = distinct * steps
        if (np.abs(scaled - np.rint(scaled)) < ON_LATTICE).all():
            return steps
    return FINEST
