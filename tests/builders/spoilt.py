"""Tasks on Ray that go wrong: imported by their workers, where nothing can be patched from a test."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.attacks import attack_session
from bench.attacks.question import Question
from bench.attacks.translation import make_craft
from bench.engine.plan import Unit
from bench.executors import node
from bench.executors.messages import Channel

DIES, RAISES = "full/0/fgsm/foolbox", "lora/0/pgd-2/art"
sound_attack = node.attack


def attack(order: node.Order, channel: Channel, run: Path, unit: Unit) -> None:
    """As ``node.attack``, but one unit kills its worker, and the library of another one raises."""
    if unit.label == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    vars(attack_session)["make_craft"] = broken if unit.label == RAISES else make_craft
    sound_attack(order, channel, run, unit)


def sleeping_attack(order: node.Order, channel: Channel, run: Path, unit: Unit) -> None:
    """As ``node.attack``, and then some seconds in which nothing happens."""
    sound_attack(order, channel, run, unit)
    time.sleep(4)


def broken(*_: Any) -> Any:
    def craft(_: Question) -> Tensor:
        raise RuntimeError("the library broke")

    return craft
