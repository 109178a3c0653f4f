"""What people at a terminal see: a progress line that no log line tears; how a stopped command goes on."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli.commands import main
from bench.engine.interrupt import Interrupted
from bench.errors import StorageError
from tests.builders.tiny import TINY

LOUD = """
import logging, sys
from rich.console import Console
from bench.cli.commands import _log
from bench.engine.logs import quiet
from adapters.training.curves import Epoch
from bench.engine.progress import Progress
from bench.pulse import Step
from tests.executors.test_executors import UNITS
quiet(_log())
progress = Progress(Console(stderr=True))
epoch = progress.training("lora")
with progress.units(UNITS) as finished:
    for i, unit in enumerate(UNITS):
        progress.at(Step(unit.label, grid=3))
        logging.getLogger("bench.engine.runner").warning("warning %d [red]as it is[/red]", i)
        progress.refresh()
        finished(unit.label)
        epoch(i + 1, 3, Epoch(0.5))
logging.getLogger("bench.engine.runner").warning("after")
"""
STEP = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?\d+[hl]|([\r\n])|([^\x1b\r\n]+)")


def terminal(code: str, columns: int = 100, **environment: str) -> str:
    """What is written to a terminal of so many columns by ``code``."""
    ours, end = pty.openpty()
    around = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1", **environment}
    process = subprocess.Popen([sys.executable, "-c", code], env=around, stdin=end, stdout=end, stderr=end)
    os.close(end)
    written = b""
    while True:
        try:
            written += os.read(ours, 4096)
        except OSError:  # the process has closed its end
            break
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode()


def plain(written: str) -> str:
    """``written`` without colours and moves."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)


def shown(written: str) -> list[str]:
    """What stands there once ``written`` is written: its cursor goes up, back, down, and it erases lines."""
    lines, row, column = [""], 0, 0
    for number, control, move, text in STEP.findall(written):
        if control == "A":
            row -= int(number or 1)
        elif control == "K":
            lines[row] = ""
        elif move == "\r":
            column = 0
        elif move == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines if line.strip()]


def test_a_log_line_stands_above_the_progress() -> None:
    found = shown(terminal(LOUD))
    assert found == [*(f"bench: warning {i} [red]as it is[/red]" for i in range(3)), "bench: after"]


STOPPED = "what is finished is stored; the same command goes on from there"
FULL = (
    "tiny: cannot be written: No space left on device; what is stored stays; fix this and run the same"
    " command again"
)
AWAY = "what is finished is stored: leave out --fresh to go on from there"


@pytest.mark.parametrize(
    ("error", "options", "code", "said", "unsaid"),
    [
        (Interrupted(signal.SIGINT), [], 130, STOPPED, "--fresh"),
        (Interrupted(signal.SIGTERM), ["--fresh"], 143, AWAY, "same command"),
        (StorageError(FULL), [], 4, FULL, "--fresh"),
        (StorageError(FULL), ["--fresh"], 4, AWAY, "same command"),
    ],
)
def test_how_a_stopped_command_goes_on(
    error: BaseException, options: list[str], code: int, said: str, unsaid: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip

    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr("bench.api.pipeline.run_suite", stop)
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert main(["run", str(tmp_path / "tiny.yaml"), "--results", str(tmp_path / "r"), *options]) == code
    err = capsys.readouterr().err
    assert said in err
    assert unsaid not in err


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 140])
def test_a_run_in_workers_is_one_steady_line(columns: int, tmp_path: Path) -> None:
    longer = TINY.replace("steps: 3", "steps: 30")  # than the time from one line to the next
    assert longer != TINY
    (tmp_path / "tiny.yaml").write_text(longer)
    run = (
        f"from bench.cli import main; main(['run', '{tmp_path}/tiny.yaml', '--workers', '2', '--results',"
        f" '{tmp_path}/r'])"
    )
    written = terminal(run, columns, BENCH_CACHE=str(tmp_path / "cache"))
    drawn = [
        text for frame in re.split(r"\r\x1b\[2K|[\r\n]+", written) if "/16 cells" in (text := plain(frame))
    ]
    assert {len(line) for line in drawn} == {columns}
    assert {line.index("/16 cells") for line in drawn} == {columns - 22}
    units = {
        f"{model}/0/{attack}/{library}"
        for model in ("baseline", "lora-fc")
        for attack in ("fgsm", "pgd-30")
        for library in ("foolbox", "art")
    }
    told = {line.split()[0] for line in drawn if line[0] != " "} - {"loading", "checking"}
    assert told <= units
    assert len(told) > 2
    assert any(re.search(r"eps [12]/2", line) for line in drawn)
    assert any(line.startswith("attacked: 12 of 181") for line in shown(written)), (
        "the answer, with nothing before it"
    )
    assert not any("/16 cells" in line for line in shown(written)), "the line is gone"
