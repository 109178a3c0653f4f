"""Putting a question to an attack, at a whole grid of eps.

It is put as stages, of which each meets only what withstood those before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from adapters.classifier import Classifier
from adapters.precision import multiplying
from adapters.spec import Precision
from bench.attacks.access import BlackBoxAccess, CountedAccess, Trace
from bench.attacks.attack import Attack
from bench.attacks.lockstep import BatchingClassifier, Task, side_by_side
from bench.attacks.question import Craft, Question
from bench.attacks.randomness import global_streams, seed_of, seed_of_draws
from bench.attacks.registry import BOTH, Carrier, Library
from bench.attacks.shared import Shared
from bench.attacks.spec import contract_of, library_of
from bench.attacks.translation import Opponent, make_craft

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Answer:
    """``adversarial``: N x 3 x H x W.

    ``traces``: the queries about each sample, empty for white-box attacks.
    """

    adversarial: Tensor
    traces: Sequence[Trace] = ()

    def queries(self, eps: float) -> list[int]:
        """Each sample's queries until its first adversarial within ``eps``."""
        return [trace.queries_at(eps) for trace in self.traces]


class Stage:
    """One attack through one library against ``classifier``, in ``precision``."""

    def __init__(
        self,
        spec: Attack,
        library: Library,
        classifier: Classifier,
        input_shape: tuple[int, int, int],
        precision: Precision,
    ) -> None:
        contract = contract_of(spec)
        self._spec, self._library, self._input_shape = spec, library, input_shape
        self.norm = spec.norm
        self.once_for_all_eps = contract.budget == "minimum-norm"
        self.starts_elsewhere = spec.starts_elsewhere
        self.targeted = bool(getattr(spec, "targeted", False))
        self.restarts = int(getattr(spec, "restarts", 1))
        self.precision: Precision = precision
        self.access = CountedAccess(classifier, precision)
        self.counts_queries = contract.access != "white-box"
        self._decisions = contract.access == "decision"
        self._draws = type(classifier).begin is not Classifier.begin
        """Whether it may draw.

        Then a gradient is of its own draw, and no eps may depend on which others are in the grid.
        """
        self._craft = None if self.counts_queries else make_craft(spec, library, self._opponent(self.access))

    def __call__(self, question: Question, grid: Sequence[float]) -> list[Answer]:
        """The answer to ``question`` at each eps of ``grid``.

        A minimum-norm attack, which no eps changes, has one for all.
        """
        self.access.classifier.begin(seed_of_draws(question))
        if self.targeted:
            question = replace(
                question, target=likeliest_wrong(self.access, question.x, question.y, question.restart)
            )
        shared = Shared()
        asked = [
            replace(question, eps=eps, shared=Shared() if self._draws else shared)
            for eps in (grid[:1] if self.once_for_all_eps else grid)
        ]
        answers = (
            self._ask_side_by_side(asked)
            if self._craft is None
            else [Answer(self._ask(one, self._craft)) for one in asked]
        )
        return answers * (len(grid) // len(asked))

    def _ask(self, question: Question, craft: Craft) -> Tensor:
        self.access.classifier.begin(seed_of_draws(question))
        with global_streams(seed_of(question, 0, "stream")), multiplying(self.precision):
            return craft(question)

    def _ask_side_by_side(self, asked: Sequence[Question]) -> list[Answer]:
        """Black-box attacks meet each sample by itself: then queries and what is drawn are that sample's."""
        here = [question.to(CPU) for question in asked]
        samples = [question.take([i]) for question in here for i in range(len(question))]
        tasks = [Task(partial(self._ask_alone, sample), seed_of(sample, 0, "stream")) for sample in samples]
        with multiplying(self.precision):
            found = iter(side_by_side(tasks))
        answers = []
        for question in asked:
            images, traces = zip(*islice(found, len(question)), strict=True)
            answers.append(Answer(torch.cat(images).to(question.x.device), traces))
        return answers

    def _ask_alone(self, question: Question) -> tuple[Tensor, Trace]:
        """The adversarial of one sample.

        What remembers anything is its own: the model's draws, the library's objects.
        """
        classifier = self.access.classifier.asked_through(
            lambda member: BatchingClassifier(member, self.precision)
        )
        classifier.begin(seed_of_draws(question))
        trace = Trace(question.x, question.y, self.norm)
        access = BlackBoxAccess(classifier, self.precision, trace, decisions=self._decisions)
        adversarial = make_craft(self._spec, self._library, self._opponent(access))(question)
        self.access.forwards += access.forwards
        return adversarial, trace

    def _opponent(self, access: CountedAccess) -> Opponent:
        classifier = access.classifier
        about = self._input_shape, classifier.num_classes, str(classifier.device)
        return Opponent(access, *about, draws=self._draws)


def make_stages(
    spec: Attack,
    carrier: Carrier,
    classifier: Classifier,
    input_shape: tuple[int, int, int],
    precision: Precision,
) -> list[Stage]:
    """The stages of ``spec``: one, or an ensemble's members in turn."""
    if spec.members:
        return [
            Stage(member, library_of(member), classifier, input_shape, precision) for member in spec.members
        ]
    if carrier == BOTH:
        raise ValueError(f"'{spec.attack}' is not an ensemble: it runs through one library")
    return [Stage(spec, carrier, classifier, input_shape, precision)]


@torch.no_grad()
def likeliest_wrong(classifier: torch.nn.Module, x: Tensor, y: Tensor, rank: int) -> Tensor:
    """The class (N) that ``classifier`` finds likeliest but for ``rank`` others and ``y``.

    Past the last it starts again.
    """
    logits: Tensor = classifier(x)
    ranked = logits.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    return ranked[:, rank % (ranked.shape[1] - 1)]
