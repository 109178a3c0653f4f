"""Trust check: a collapsed adversarial training taught the network to hide from one step, not robustness."""

from bench.scoring.trust import CellTrust, Finding, Grade, worst
from bench.store.shapes import Robust

CHECK = "overfitting"


def with_training(trust: CellTrust, kind: str, training: Robust | None) -> CellTrust:
    """``trust`` of a cell of an attack of ``kind``, with what its model's adversarial ``training`` adds."""
    if training is None:
        return trust
    found = overfitting(kind, training)
    return CellTrust(worst([trust.grade, found.grade]), (*trust.findings, found))


def overfitting(kind: str, training: Robust) -> Finding:
    """overfitting: one step still finds what PGD finds.

    Warns where training collapsed, fails FGSM on what came of it. Wong et al. 2020, catastrophic overfitting:
    accuracy under FGSM stays, or rises, while that under PGD falls to nothing. Weights of an epoch before are
    as they should be; weights from then on have gradients that FGSM cannot follow.
    """
    if training.collapsed is None:
        gap = 100 * (training.fgsm[training.kept - 1] - training.pgd[training.kept - 1])
        return Finding(
            CHECK,
            "pass",
            f"on {training.held_out} held-out images FGSM leaves {gap:.0f} points more than PGD",
        )
    after = training.kept >= training.collapsed
    grade: Grade = "fail" if after and kind == "fgsm" else "warn"
    at = training.collapsed - 1
    return Finding(
        CHECK,
        grade,
        f"{training.method} training collapsed in epoch {training.collapsed} (held-out accuracy"
        f" {training.fgsm[at]:.0%} under FGSM, {training.pgd[at]:.0%} under PGD); the weights are of epoch"
        f" {training.kept}",
    )
