"""Progress: how far a unit is, how long the rest takes, and the line that says so."""

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from adapters.training.curves import Epoch
from bench import pulse
from bench.engine import progress_line as module
from bench.engine.progress import Progress, on_stderr
from bench.engine.progress_line import Estimate, progress_line
from bench.executors.messages import Reader, reporting
from bench.pulse import Step
from tests.cli.test_terminal import shown as screen_after
from tests.executors.test_executors import BATCH, UNITS, open_linear, run_all


class Clock:
    """A clock that is set."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def test_what_is_left_takes_as_long_as_what_is_done_did_by_weight(clock: Clock) -> None:
    estimate = Estimate({"fgsm": (3, 3.0), "pgd-40": (3, 120.0)})
    assert estimate.left() is None
    assert estimate.cells == (0, 6)
    clock.now += 6
    estimate.reach("fgsm", 1.0)
    assert estimate.left() == pytest.approx(6 * 120 / 3)
    assert estimate.cells == (3, 6)
    clock.now += 80
    estimate.reach("pgd-40", 1 / 3)
    assert estimate.left() == pytest.approx(86 * 80 / 43)
    assert estimate.cells == (4, 6)
    clock.now += 10
    assert estimate.left() == pytest.approx(86 * 80 / 43 - 10), "it is counted down between two steps"
    estimate.reach("checking", 0.5)
    assert estimate.share == pytest.approx(43 / 123), "what is none of it changes nothing"


@pytest.mark.parametrize(("width", "bar"), [(80, 0), (140, 30)])
def test_the_line_fills_the_width_and_nothing_in_it_moves(width: int, bar: int, clock: Clock) -> None:
    estimate = Estimate({"a": (90, 1.0), "b": (10, 1.0)})
    lines = [progress_line([], estimate, width)]
    for i in range(1, 91):
        clock.now += 60
        estimate.reach("a", i / 90)
        name = "a-model-of-a-long-name-with-more/0/" + "pgd-40" * (i % 7) + "/foolbox"
        lines.append(progress_line([f"{name}  eps {i % 4}/4, batch 1/2"] * (1 + i % 3), estimate, width))
    assert {len(line) for line in lines} == {width}
    assert {line.index("/100 cells") for line in lines} == {width - 23}
    assert {line.rindex(" left") for line in lines} == {width - 5}
    assert {sum(c in "━╌" for c in line) for line in lines} == {bar}
    for i, line in enumerate(lines[1:], 1):
        assert f"eps {i % 4}/4, batch 1/2" in line, "names are cut, not what is counted"
        assert ("more)" in line) == (i % 3 > 0)
    assert lines[-1].count("━") == round(bar * 0.5)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-:--"), (0.4, "0:00"), (61, "1:01"), (3600 + 125, "1:02:05")]
)
def test_time_as_it_is_read(seconds: float | None, text: str) -> None:
    assert module._clock(seconds) == text


def test_share_and_eps_of_a_step() -> None:
    step = Step("m/0/pgd/art", batch=1, batches=2, round=1, rounds=4, answered=8, asked=16, grid=4)
    assert step.eps == 2
    assert step.share == pytest.approx((1 + (1 + 0.5) / 4) / 2)
    assert str(step) == "m/0/pgd/art  eps 2/4, batch 2/2"
    assert str(Step("checking m/0")) == "checking m/0"
    assert str(Step("m/0/deepfool/art", answered=12, asked=12, grid=3)) == "m/0/deepfool/art  eps 3/3", (
        "once for all eps"
    )


def test_a_run_tells_every_batch_and_eps(tmp_path: Path) -> None:
    steps: list[Step] = []
    with pulse.watched(steps.append):
        run_all(open_linear(tmp_path))
    first = [step for step in steps if step.what == UNITS[0].label]
    batches, grid = first[-1].batches, len(UNITS[0].cells)
    assert batches > 1
    told = list(dict.fromkeys((step.batch, step.eps) for step in first if step.asked and not step.over))
    assert told == [(batch, eps) for batch in range(batches) for eps in range(grid + 1)]
    assert {step.asked for step in first if step.asked} <= {n * grid for n in range(1, BATCH + 1)}
    assert [step.share for step in first if not step.over] == sorted(
        step.share for step in first if not step.over
    )
    assert (first[0].share, first[-1].share, first[-1].over) == (0.0, 1.0, True)
    assert {step.what for step in steps} == {unit.label for unit in UNITS}


def test_nobody_is_told_where_nobody_watches() -> None:
    steps: list[Step] = []
    with pulse.watched(steps.append), pulse.doing("checking m/0"), pulse.unwatched():
        pulse.at(grid=3, asked=5)
        pulse.answered(5)
    assert [(step.what, step.grid, step.over) for step in steps] == [
        ("checking m/0", 0, False),
        ("checking m/0", 3, True),
    ]


class Channel:
    """Channel that keeps what is put into it."""

    def __init__(self) -> None:
        self.put_in: list[Any] = []

    def put(self, message: Any) -> None:
        self.put_in.append(message)


def test_a_worker_reports_as_often_as_somebody_looks_and_its_beginnings_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, channel = Clock(), Channel()
    monkeypatch.setattr("bench.executors.messages.time", clock)
    with pulse.watched(reporting(channel)):
        for name in ("one", "two"):
            with pulse.doing(name, grid=2):
                pulse.at(asked=1000)
                for _ in range(1000):
                    clock.now += 0.001
                    pulse.answered(1)
    counts = {
        name: [step.answered for step in channel.put_in if step.what == name] for name in ("one", "two")
    }
    assert all(found[0] == 0 and found[-1] == 1000 and 5 <= len(found) <= 6 for found in counts.values()), (
        counts
    )
    shown = Progress(Console(file=io.StringIO(), force_terminal=True, width=80))
    for message in channel.put_in[:-1]:
        Reader(shown).read(message)
    assert list(shown._at) == ["two"]
    Reader(shown).read(channel.put_in[-1])
    assert not shown._at


def lines_of(written: str) -> list[str]:
    """What is written, frame by frame, without colours and moves."""
    frames = re.split(r"\r\x1b\[2K|[\r\n]+", written)
    return [text for frame in frames if (text := re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame)).strip()]


@pytest.fixture
def loud() -> Iterator[logging.Logger]:
    ours = logging.getLogger("bench")
    before = ours.level
    yield ours
    ours.setLevel(before)


def test_elsewhere_than_on_a_terminal_each_unit_is_a_plain_line() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80))
    with progress.units(UNITS) as finished:
        for unit in UNITS:
            progress.at(Step(unit.label, answered=1, asked=2, grid=3))
        for unit in UNITS:
            progress.at(Step(unit.label, answered=2, asked=2, grid=3))
        for unit in UNITS:
            finished(unit.label)
    assert re.sub(r"about \d+ s", "about 0 s", out.getvalue()).splitlines() == [
        f"[{i}/3] {unit.label}, about 0 s left" for i, unit in enumerate(UNITS, 1)
    ]


def test_on_a_terminal_the_oldest_of_what_is_done_is_shown_until_it_ends() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, force_terminal=True, width=80))
    epoch = progress.training("lora")
    epoch(1, 4, Epoch(0.5))
    progress.refresh()
    epoch(4, 4, Epoch(0.4))
    with progress.units(UNITS) as finished:
        for unit in UNITS[:2]:
            progress.at(Step(unit.label, grid=2))
        progress.at(Step(UNITS[0].label, answered=1, asked=2, grid=2))
        progress.refresh()
        finished(UNITS[0].label)
        progress.at(Step("checking linear/0"))
        progress.refresh()
    shown = lines_of(out.getvalue())
    cells = sum(len(unit.cells) for unit in UNITS)
    assert any(
        re.fullmatch(r"training lora  epoch 1/4, loss 0.500 +25 % +0:00 left", line) for line in shown
    ), shown
    assert any(
        re.match(rf"{UNITS[0].label}  eps 1/2 \(\+1 more\) +1/{cells} cells", line) for line in shown
    ), shown
    assert any(line.startswith(f"{UNITS[1].label}  eps 0/2 (+1 more)") for line in shown), shown
    assert screen_after(out.getvalue()) == [], "it is gone when all is done"


def test_of_trainings_side_by_side_what_is_left_is_said_of_the_one_that_is_named() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, force_terminal=True, width=80))
    first, second = progress.training("a"), progress.training("b")
    second(3, 4, Epoch(0.5))
    first(1, 4, Epoch(0.25))
    progress.refresh()
    first(4, 4, Epoch(0.2))
    progress.refresh()
    second(4, 4, Epoch(0.4))
    lines = [" ".join(line.split()) for line in lines_of(out.getvalue())]
    assert any(
        re.fullmatch(r"training a epoch 1/4, loss 0.250 \(\+1 more\) 25 % \d:\d\d left", line)
        for line in lines
    ), lines
    assert any(re.fullmatch(r"training b epoch 3/4, loss 0.500 75 % \d:\d\d left", line) for line in lines), (
        lines
    )
    assert not any("training a" in line and "75 %" in line for line in lines)


def test_what_is_no_terminal_gets_lines_whatever_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, and in most CI."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not on_stderr().console.is_terminal


def test_where_only_errors_are_said_nothing_is_shown(loud: logging.Logger) -> None:
    loud.setLevel(logging.ERROR)
    assert on_stderr().console.quiet
    loud.setLevel(logging.WARNING)
    assert not on_stderr().console.quiet
