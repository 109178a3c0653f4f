"""Attacks that fail, through the command line: the cells say why, the rest goes on, and the same command
mends only those."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.builders.figures import Figure
from tests.torture.forked import reproduce, start, warm_up
from tests.torture.tiny import CELLS, SUITE, Place

pytestmark = pytest.mark.slow
LIMIT = 20.0
"""Seconds that a unit may take, far above what an honest one needs."""


def raise_error(error: Exception) -> Callable[[Tensor], Tensor]:
    def act(_: Tensor) -> Tensor:
        raise error

    return act


def hang(x: Tensor) -> Tensor:
    time.sleep(1e6)
    return x


FAULTS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a library that raises": (raise_error(ValueError("the library broke")), "ValueError: the library broke"),
    "memory of the CPU": (
        raise_error(MemoryError("Unable to allocate 3 GiB")),
        "MemoryError: Unable to allocate",
    ),
    "memory of the GPU": (
        raise_error(torch.OutOfMemoryError("CUDA out of memory.")),
        "OutOfMemoryError: CUDA out of memory",
    ),
    "adversarials that are NaN": (
        lambda x: x * torch.nan,
        "AttackError: the attack returned values that are not finite",
    ),
    "adversarials out of the box": (lambda x: x + 1, "AttackError: the attack left the box"),
    "an attack that hangs": (hang, f"it took longer than the suite's time limit of {LIMIT:g} s"),
}


def failing(act: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """A ``before`` after which FGSM through Foolbox does ``act``."""

    def install() -> None:
        import bench.attacks.attack_session
        from bench.attacks.translation import make_craft as real

        def make(spec: Any, library: Any, *rest: Any) -> Any:
            if (spec.label, library) == ("fgsm", "foolbox"):
                return lambda question: act(question.x)
            return real(spec, library, *rest)

        setattr(bench.attacks.attack_session, "make_craft", make)  # noqa: B010 (a name that the module only imports)

    return install


def test_failing_attacks(tmp_path_factory: pytest.TempPathFactory, figure: Figure) -> None:
    warm_up()
    suite = f"{SUITE}time_limit: {LIMIT}\n"
    reference = Place(tmp_path_factory.mktemp("reference"), suite)
    assert start(reference).wait() == 0
    expected = reference.digests()
    assert len(expected) == CELLS
    told = lost = mended = 0
    for name, (act, reason) in FAULTS.items():
        place = Place(tmp_path_factory.mktemp("fault"), suite, cache=reference.cache)
        child = start(place, before=failing(act))
        assert child.wait() == 4, f"{name}: {child.log.read_text()}"
        cells = {cell["key"]: cell for cell in place.header["cells"]}
        broken = {k for k, c in cells.items() if (c["attack"], c["library"]) == ("fgsm", "foolbox")}
        told += all(
            cells[key]["status"] == "error" and cells[key]["error"].startswith(reason) for key in broken
        )
        lost += sum(cells[key]["status"] != "ok" for key in cells.keys() - broken)
        child = start(place)
        assert child.wait() == 0
        units = re.findall(r"^\[\d+/\d+\] \S+/(\S+/\S+), ", child.log.read_text(), re.MULTILINE)
        mended += place.digests() == expected and units == ["fgsm/foolbox"] * 2
    figure(
        f"4 failing attacks: {len(FAULTS)} faults injected, {told} named in their cells with exit code 4,"
        f" {lost} other cells lost, {mended} mended by the same command, which ran only the units that had"
        " failed"
    )
    assert (told, lost, mended) == (len(FAULTS), 0, len(FAULTS))


def test_a_run_is_made_again(tmp_path_factory: pytest.TempPathFactory, figure: Figure) -> None:
    warm_up()
    place = Place(tmp_path_factory.mktemp("again"))
    assert start(place).wait() == 0
    place.suite.unlink()
    child = reproduce(place)
    said = child.log.read_text() if child.wait() == 0 else pytest.fail(child.log.read_text())
    equal = re.search(r"(\d+) cells: (\d+) bitwise equal", said)
    assert equal is not None, said
    figure(f"6 reproduce: {equal[2]} of {equal[1]} cells bitwise equal, the suite's file deleted")
    assert equal.groups() == (str(CELLS), str(CELLS))
