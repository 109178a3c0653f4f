"""Trust grades: what the checks found of each cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from bench.scoring.checks import Check, with_others
from bench.scoring.checks import Grade as Grade
from bench.scoring.statistics import at_most
from bench.store.evidence import Evidence

ORDER: tuple[Grade, ...] = ("pass", "unchecked", "warn", "fail")
"""From the best to the worst."""


@dataclass(frozen=True)
class Finding:
    """What one check says of one cell."""

    check: str
    grade: Grade
    detail: str


@dataclass(frozen=True)
class CellTrust:
    """All findings of one cell.

    ``grade`` is the worst of those that could be checked; "unchecked" where none of the checks of its attack
    could be.
    """

    grade: Grade
    findings: tuple[Finding, ...]


def worst(grades: Sequence[Grade]) -> Grade:
    """The worst of ``grades``; "unchecked" if there are none."""
    return max(grades, key=ORDER.index, default="unchecked")


def cell_trust(findings: Sequence[Finding], *, measured: bool) -> CellTrust:
    """A cell's grade from its ``findings``; ``measured``: some check of its attack had enough samples."""
    grade = worst([f.grade for f in findings if f.grade != "unchecked"])
    return CellTrust("unchecked" if grade == "pass" and not measured else grade, tuple(findings))


def judge_evidence(evidence: Sequence[Evidence]) -> list[Finding]:
    """The findings of ``evidence``, but for what is judged against a cell's records.

    Left out are samples that something else breaks.
    """
    return [Finding(e.check, _grade(e), e.detail) for e in evidence if e.eps is None]


def _grade(e: Evidence) -> Grade:
    """A failed measurement is a warning, since nothing is known.

    A pass that could not have failed proves nothing.
    """
    if e.value is None:
        return "warn"
    check = checks().get(e.check)
    if check is None:  # a package's that is not installed here
        return "unchecked"
    grade = check.grade(e.value, e.n)
    told = e.attack is None or e.check == "classes" or e.n >= FEWEST
    return grade if grade != "pass" or (told and _can_fail(check, e.n)) else "unchecked"


def _can_fail(check: Check, n: int) -> bool:
    """Whether ``n`` samples suffice for a very poor outcome to be graded as it is of many samples."""
    return check.grade(check.poor, n) == check.grade(check.poor, MANY)


FEWEST, MANY = 3, 10**6
"""Fewer samples than this prove nothing about an attack; and so many that chance plays no part."""


def share_grade(value: float, n: int, limit: float) -> Grade:
    """Warn where more than ``limit`` of samples is not chance at 5 % (exact binomial test), fail at 1 %."""
    return _surprise(1 - at_most(round(value * n) - 1, n, limit))


def _surprise(chance: float) -> Grade:
    return "fail" if chance < 0.01 else "warn" if chance < 0.05 else "pass"


def deterministic(change: float, _: int) -> Grade:
    """deterministic: the same images give the same logits.

    Warns above 1e-6 of the largest logit, fails above 1e-4. A random defence must be attacked in expectation
    (Athalye et al. 2018, section 4).
    """
    return "fail" if change > 1e-4 else "warn" if change > 1e-6 else "pass"


def logits(share: float, _: int) -> Grade:
    """logits: the model gives logits, not probabilities or scores in [0, 1].

    Fails if every sample's outputs are. The attacks' losses apply a softmax; to what is bounded already, it
    flattens their gradients (Carlini & Wagner 2016, defensive distillation).
    """
    return "fail" if share >= 1 else "pass"


def gradients(share: float, _: int) -> Grade:
    """gradients: the loss has a usable gradient at each sample.

    Warns at the first without, fails from 5 % of them. Unavailable gradients, Pintor et al. 2022, indicator
    1; shattered or vanished gradients, Athalye et al. 2018.
    """
    return "fail" if share >= 0.05 else "warn" if share > 0 else "pass"


def saturation(share: float, _: int) -> Grade:
    """saturation: the cross-entropy has a gradient wherever the logit margin has one.

    Warns at the first sample where it has none. Of very certain predictions it rounds to zero (Carlini &
    Wagner 2016; Croce & Hein 2020). Never fails: the attack is too weak, which says nothing of the model.
    """
    return "warn" if share else "pass"


def no_gradients(share: float, _: int) -> Grade:
    """no-gradients: the model can be attacked through its gradients.

    Warns where it is in a runtime that computes none. Black-box attacks find less than white-box ones: what
    they leave unbroken is an upper bound (Carlini et al. 2019).
    """
    return "warn" if share else "pass"


def eval_mode(left: float, _: int) -> Grade:
    """eval-mode: no dropout or batch normalisation is left in training mode. Fails at the first.

    There, outputs depend on chance and on the batch (Carlini et al. 2019, section 5).
    """
    return "fail" if left else "pass"


def wrappers(share: float, _: int) -> Grade:
    """wrappers: the same class raw, as attacked, and through every library.

    Fails at the first sample that differs. The model that is evaluated must be the model that is attacked
    (Carlini et al. 2019, section 5).
    """
    return "fail" if share else "pass"


def form(change: float, _: int) -> Grade:
    """form: the form that is attacked is the model as trained.

    Warns above 1e-4 of the largest logit; rounding gives 1e-6. Built with a greater difference, the model is
    attacked as it is: only a model that changes from call to call gets here.
    """
    return "warn" if change > 1e-4 else "pass"


def adapter(change: float, _: int) -> Grade:
    """adapter: switching the adapter off changes the logits. Fails at or below 1e-6 of the largest logit.

    An adapter that is not active makes the comparison one of the base model with itself; a head trained
    beside it stays on.
    """
    return "fail" if change <= 1e-6 else "pass"


def unstable_predictions(change: float, _: int) -> Grade:
    """unstable-predictions: the loss hardly changes very near a sample. Warns above 10 %, fails above 50 %.

    Pintor et al. 2022, indicator 2: the mean relative change of the loss in a small box, capped at 1; judged
    by the lower end of its interval over samples, since a sample near the boundary of an honest model changes
    much.
    """
    return "fail" if change > 0.5 else "warn" if change > 0.1 else "pass"


def silent_success(share: float, n: int) -> Grade:
    """silent-success: no adversarial is found on the way and then lost. Limit 5 % of the failed samples.

    Pintor et al. 2022, indicator 3.
    """
    return share_grade(share, n, 0.05)


def incomplete_optimisation(share: float, n: int) -> Grade:
    """incomplete-optimisation: the attack had stopped gaining when it ended.

    Limit half of the failed samples. Pintor et al. 2022, indicator 4: a sample counts if its best loss still
    falls by over 5 % of its range in the last steps. Never fails: the attack is too weak, which proves
    nothing about the model.
    """
    return "pass" if share_grade(share, n, 0.5) == "pass" else "warn"


def transfer_failure(share: float, n: int) -> Grade:
    """transfer-failure: what fools the form that was attacked fools the model as trained.

    Limit 2 % of the adversarials. Pintor et al. 2022, indicator 5.
    """
    return share_grade(share, n, 0.02)


def unconstrained(share: float, n: int) -> Grade:
    """unconstrained: with nearly no limit, accuracy falls to chance. Limit 5 % of the samples beyond chance.

    Pintor et al. 2022, indicator 6; Athalye et al. 2018, "unbounded attacks do not reach 100 % success".
    """
    return share_grade(share, n, 0.05)


def more_steps(share: float, n: int) -> Grade:
    """more-steps: twice the steps break hardly anything new. Limit 5 % of the samples.

    Carlini et al. 2019, section 4: verify that the attack has converged. Never fails: the attack is too weak,
    which says nothing of the model.
    """
    return "pass" if share_grade(share, n, 0.05) == "pass" else "warn"


def rounding(share: float, n: int) -> Grade:
    """rounding: adversarials survive being written as 8-bit images. Warns above 10 % of them.

    Never fails: attacks that stop right behind the boundary lose some by design (Carlini & Wagner 2017,
    section 6).
    """
    return "warn" if n and share > 0.1 else "pass"


def precision(share: float, n: int) -> Grade:
    """precision: crafting in tf32 or bf16 gives the outcomes of float32. Limit 1 % of the samples.

    About what another random start changes; attacks that stop right behind the boundary lose more, and must
    be run in fp32.
    """
    return share_grade(share, n, 0.01)


def classes(missing: float, _: int) -> Grade:
    """classes: the loss fits the number of classes. Fails if DLR has under 3, or targeted DLR under 4.

    Croce & Hein 2020: the loss divides by the gap to the third (targeted: fourth) logit.
    """
    return "fail" if missing else "pass"


def binarisation(found: float, n: int) -> Grade:
    """binarisation: the attack finds 95 % of the planted adversarials.

    Warns if fewer is not chance at 5 %, fails at 1 %. Zimmermann et al. 2022: an attack that misses them is
    too weak for any claim about this model.
    """
    return _surprise(at_most(round(found * n), n, 0.95))


def slope(cosine: float, _: int) -> Grade:
    """slope: the loss changes as its gradient says. Warns under a cosine of 0.85 of the two, fails under 0.5.

    Finite differences in random directions beside the gradient, pooled over samples (Carlini et al. 2019,
    section 5: compare gradients with finite differences), at a scale within the budget that is examined:
    farther off, an honest network's loss curves away from its gradient too. Hidden anywhere, even behind the
    head, a gradient differs from them.
    """
    return "fail" if cosine < 0.5 else "warn" if cosine < 0.85 else "pass"


def partial_gradients(share: float, _: int) -> Grade:
    """partial-gradients: what has no gradient, or none that is finite, changes nothing.

    Warns above 5 %, fails above 20 %. The share of the loss's (squared) change under noise that values with a
    zero gradient make; all, if one is not finite.
    """
    return "fail" if share > 0.2 else "warn" if share > 0.05 else "pass"


def state(share: float, _: int) -> Grade:
    """state: the model's answers depend on the image alone, not on what it was asked before.

    Fails at the first that does. Clean and adversarial images, and their mirror images, asked of an untouched
    copy, in another order, with gradients on and in another process (Carlini et al. 2019, section 5: the
    model that is evaluated must be the model that is attacked). So what a model keeps outside itself is seen
    too (module globals, closures), but not what it keeps in files; on a GPU, and where processes cannot fork,
    only what it keeps in itself.
    """
    return "fail" if share else "pass"


def company(share: float, _: int) -> Grade:
    """company: an image's answer depends on no other image of its batch. Fails at the first that does.

    Clean and adversarial images asked one at a time, in reverse, beside all together.
    """
    return "fail" if share else "pass"


def eot(cosine: float, _: int) -> Grade:
    """eot: the gradient of a random defence, averaged over draws, has converged.

    Warns under a cosine of 0.5, fails under 0.2. Of the gradients over two halves of the draws (Athalye et
    al. 2018, expectation over transformation): at 0.5 that over all draws has a cosine of 0.8 with the true
    one. ``draws: {attack: ...}`` gives it more.
    """
    return "fail" if cosine < 0.2 else "warn" if cosine < 0.5 else "pass"


def _of_attack(name: str, grade: Callable[[float, int], Grade], applies: str = "") -> Check:
    """The check whose control is the function of bench/trust/controls.py that is called as its grade."""
    room = "bench.trust.controls"
    return Check(name, grade, f"{room}:{grade.__name__}", f"{room}:{applies}" if applies else "", of="attack")


GIVES_GRADIENTS = "bench.trust.probes:gives_gradients"
BUILT_IN = (
    Check("deterministic", deterministic, "bench.trust.probes:deterministic", cost=3),
    Check("logits", logits, "bench.trust.probes:logits", cost=1),
    Check("gradients", gradients, "bench.trust.probes:gradients", GIVES_GRADIENTS, cost=3),
    Check("saturation", saturation),
    Check(
        "no-gradients", no_gradients, "bench.trust.probes:no_gradients", "bench.trust.probes:lacks_gradients"
    ),
    Check("eval-mode", eval_mode, "bench.trust.probes:eval_mode", cost=0),
    Check("wrappers", wrappers, "bench.trust.probes:wrappers", cost=4),
    Check("form", form, "bench.trust.probes:form", cost=2),
    Check(
        "unstable-predictions",
        unstable_predictions,
        "bench.trust.probes:instability",
        GIVES_GRADIENTS,
        cost=15,
    ),
    Check("slope", slope, "bench.trust.slope:slopes", GIVES_GRADIENTS, cost=10, poor=0.0),
    Check("partial-gradients", partial_gradients),
    Check("adapter", adapter, "bench.trust.probes:adapter", "bench.trust.probes:has_adapter", cost=2),
    Check("state", state),
    Check("company", company),
    _of_attack("classes", classes, "has_dlr_loss"),
    _of_attack("rounding", rounding),
    _of_attack("transfer-failure", transfer_failure),
    _of_attack("unconstrained", unconstrained, "has_ball"),
    _of_attack("more-steps", more_steps, "iterates"),
    _of_attack("silent-success", silent_success, "descends_once"),
    _of_attack("incomplete-optimisation", incomplete_optimisation, "descends_once"),
    Check("precision", precision),
    Check("binarisation", binarisation, poor=1 / 3),
    Check("eot", eot, poor=0.0),
)
"""Measured in this order; how those without a function are measured, bench/trust/examine.py says."""


@cache
def checks() -> Mapping[str, Check]:
    """Every check that grades evidence, by name: ours, and those of other packages."""
    return with_others(BUILT_IN)
