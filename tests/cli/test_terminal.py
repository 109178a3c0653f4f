"""What a person at a terminal sees: bars that no log line tears, and how a stopped command goes on."""

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
from bench.cli.output import quiet
from adapters.training.curves import Epoch
from bench.engine.progress import Progress
quiet(_log())
progress = Progress(Console(stderr=True))
epoch = progress.training("lora")
with progress.units(3) as finished:
    for i in range(3):
        logging.getLogger("bench.engine.runner").warning("warning %d [red]as it is[/red]", i)
        progress.bars.refresh()
        finished("m/0/fgsm/art")
        epoch(i + 1, 3, Epoch(0.5))
logging.getLogger("bench.engine.runner").warning("after")
"""
STEP = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?\d+[hl]|([\r\n])|([^\x1b\r\n]+)")


def screen(code: str) -> list[str]:
    """The lines of a terminal of 100 columns after ``code`` has run in it."""
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=end, stdout=end, stderr=end)
    os.close(end)
    written = b""
    while True:
        try:
            written += os.read(terminal, 4096)
        except OSError:  # the process has closed its end
            break
    os.close(terminal)
    assert process.wait() == 0, written.decode()
    return shown(written.decode())


def shown(written: str) -> list[str]:
    """What stands there once ``written`` has been written: its cursor goes up, back and down, and it erases lines."""
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


def test_a_log_line_stands_above_the_bars() -> None:
    found = screen(LOUD)
    assert found == [*(f"bench: warning {i} [red]as it is[/red]" for i in range(3)), "bench: after"]


STOPPED = "what is finished is stored, the same command goes on from there"
FULL = "tiny: cannot be written: No space left on device; what is stored stays; mend this and give the same command again"
AWAY = "what is finished is stored: leave --fresh away to go on from there"


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
