"""A trust check as another package would bring it: declared, measured and graded in one file."""

from adapters.classifier import tensors
from bench.scoring.checks import Check, Grade
from bench.store.evidence import Evidence
from bench.trust.controls import Control
from bench.trust.probe import Probe, found


def brightness(share: float, _: int) -> Grade:
    """brightness: the samples are not all dark. Fails if every one is.

    Our own dark room, 2026.
    """
    return "fail" if share >= 1 else "pass"


def measure(probe: Probe) -> list[Evidence]:
    """The share of images whose mean is below a quarter."""
    dark = float((probe.x.flatten(1).mean(1) < 0.25).float().mean())
    return [found("brightness", dark, len(probe.x), f"{dark:.0%} of {len(probe.x)} samples are dark")]


def has_two_classes(probe: Probe) -> bool:
    """Whether it can be asked at all."""
    return probe.model.num_classes == 2


def fails(probe: Probe) -> list[Evidence]:
    """Raises, as strangers' code does."""
    raise RuntimeError(f"{probe.model.num_classes} is too many")


CHECK = Check(
    "brightness",
    brightness,
    "tests.builders.own_check:measure",
    "tests.builders.own_check:has_two_classes",
    cost=1,
)


def redder(share: float, _: int) -> Grade:
    """redder: adversarials are not all redder than their images. Warns if they are.

    Our own red room, 2026.
    """
    return "warn" if share >= 1 else "pass"


def reddened(control: Control) -> list[Evidence]:
    """The share of adversarials whose red channel has risen on the whole."""
    before, _ = tensors(control.target.samples, control.target.classifier.device)
    risen = (control.base.adversarial - before)[:, 0].flatten(1).mean(1) > 0
    return [found("redder", float(risen.float().mean()), len(risen), "adversarials are redder")]


def in_linf(control: Control) -> bool:
    """Whether the attack is in linf."""
    return control.unit.attack.norm == "linf"


OF_ATTACKS = Check(
    "redder", redder, "tests.builders.own_check:reddened", "tests.builders.own_check:in_linf", of="attack"
)
RAISES = Check("raises", brightness, "tests.builders.own_check:fails")
NAMESAKE = Check("wrappers", brightness, "tests.builders.own_check:measure")
