"""Attacks carried out side by side, each on one sample, as if it were alone.

What they ask goes to the network in one batch. Each runs in a greenlet of its own until it asks; then another
goes on, and once enough is asked, all of it is answered. So the libraries' own loops are used as they are.
What a thread has one of is swapped with them: the generators that libraries draw from, and torch's modes.
"""

import contextvars
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from numpy.random import mtrand
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.fast.rowwise import Rowwise
from adapters.spec import Precision
from bench.attacks.randomness import Streams, global_streams

MANY = 8
"""Full batches after which it hardly counts if the last is not full, which takes as long."""


@dataclass(frozen=True)
class Modes:
    """Torch's modes, which belong to the thread: of gradients, and of autocast on the CPU and the GPU."""

    grad: bool
    autocast: tuple[tuple[str, bool, torch.dtype], ...]

    @classmethod
    def now(cls) -> "Modes":
        """As they are."""
        devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
        states = tuple(
            (name, torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in devices
        )
        return cls(torch.is_grad_enabled(), states)

    def restore(self) -> None:
        """Be so again."""
        torch.set_grad_enabled(self.grad)
        for device, enabled, dtype in self.autocast:
            torch.set_autocast_enabled(device, enabled)
            torch.set_autocast_dtype(device, dtype)


@dataclass(frozen=True)
class Asked:
    """What a task waits for: what is said ``of`` the images ``x`` (N x 3 x H x W)."""

    task: "_Running"
    of: Rowwise
    x: Tensor


@dataclass
class _Waiting:
    """The tasks that wait for one classifier, and how many images they have asked it about."""

    of: Rowwise
    asked: list[Asked] = field(default_factory=list)
    rows: int = 0

    def join(self, asked: Asked) -> bool:
        """Wait with ``asked`` too; whether that fills batches, but for what hardly counts."""
        self.asked.append(asked)
        self.rows += asked.x.shape[0]
        widest = self.of.sizes(asked.x)[-1]
        return self.rows >= MANY * widest or self.rows % widest == 0

    def answered(self) -> "Iterator[tuple[_Running, Tensor]]":
        """Each task, and its answer."""
        answers = self.of(torch.cat([one.x for one in self.asked]))
        for one, answer in zip(
            self.asked, torch.split(answers, [one.x.shape[0] for one in self.asked]), strict=True
        ):
            yield one.task, answer.clone()


@dataclass(frozen=True)
class Task:
    """``do`` something, drawing what is random from ``seed``."""

    do: Callable[[], Any]
    seed: int


class _Running(greenlet):  # type: ignore[misc]
    """A task that has begun."""

    def __init__(self, task: Task, modes: Modes) -> None:
        super().__init__(self._carry_out)
        self.gr_context = contextvars.copy_context()
        self.result: Any = None
        self._task = task
        self._streams, self._modes = Streams(task.seed), modes

    def _carry_out(self, _: object) -> None:
        self.result = self._task.do()

    def go_on(self, answer: object = None) -> Asked | None:
        """Let it run, with the ``answer`` to what it asked; what it asks next, None if it has ended.

        Raises what it raises.
        """
        self._streams.resume()
        self._modes.restore()
        asked: Asked | None = self.switch(answer)
        self._streams.pause()
        self._modes = Modes.now()
        return asked

    def end(self) -> None:
        """Give it up, if it has not ended: its frames are left as by an exception."""
        if not self.dead:
            self._modes.restore()
            self.throw(GreenletExit)


class BatchingClassifier(Classifier):
    """Stands for ``classifier`` where it is asked in a task: there it is answered together with others.

    It is on the CPU, wherever that is: an attack's own arithmetic is on one sample, for which a GPU is slow.
    """

    def __init__(self, classifier: Classifier, precision: Precision) -> None:
        nn.Module.__init__(self)
        self.num_classes = classifier.num_classes
        self.register_buffer("_place", torch.empty(0), persistent=False)
        self._rows = Rowwise(
            classifier, precision
        )  # no module: libraries walk through all of them at each question
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        task = getcurrent()
        if not isinstance(task, _Running) or not self._rows.sizes(x):
            return self._rows(x)
        answer: Tensor = task.parent.switch(Asked(task, self._rows, x))
        return answer


def side_by_side(tasks: Sequence[Task]) -> list[Any]:
    """What each of ``tasks`` gives. Raises what the first of them raises; the others are given up then."""
    numpys, modes = mtrand.get_bit_generator(), Modes.now()
    with global_streams(0):
        running: list[_Running] = []
        try:
            running += [_Running(task, modes) for task in tasks]
            _carry_out(running)
        finally:
            for task in running:
                task.end()
            mtrand.set_bit_generator(numpys)
            modes.restore()
    return [task.result for task in running]


def _carry_out(running: Sequence[_Running]) -> None:
    """Run all to their ends.

    A classifier is asked once a whole batch waits for it, or no task can go on without.
    """
    ready: deque[tuple[_Running, object]] = deque((task, None) for task in running)
    waiting: dict[Rowwise, _Waiting] = {}
    while ready:
        task, answer = ready.popleft()
        asked = task.go_on(answer)
        if asked is not None and waiting.setdefault(asked.of, _Waiting(asked.of)).join(asked):
            ready.extend(waiting.pop(asked.of).answered())
        if not ready and waiting:
            fullest = max(waiting, key=lambda of: waiting[of].rows)
            ready.extend(waiting.pop(fullest).answered())
