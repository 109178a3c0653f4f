"""Putting a question to an attack, at a whole grid of eps: as stages, of which each meets only what withstood those before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adapters.classifier import Classifier
from adapters.precision import multiplying
from adapters.spec import Precision
from bench.attacks.access import BlackBoxAccess, CountedAccess, Trace
from bench.attacks.attack import Attack
from bench.attacks.question import Question
from bench.attacks.randomness import global_streams, seed_of, seed_of_draws
from bench.attacks.registry import BOTH, Carrier, Library
from bench.attacks.shared import Shared
from bench.attacks.spec import contract_of, library_of
from bench.attacks.translation import Opponent, make_craft


@dataclass(frozen=True)
class Answer:
    """``adversarial``: N x 3 x H x W. ``traces``: the queries about each sample, empty for white-box attacks."""

    adversarial: Tensor
    traces: Sequence[Trace] = ()

    def queries(self, eps: float) -> list[int]:
        """Each sample's queries until its first adversarial within ``eps``."""
        return [trace.queries_at(eps) for trace in self.traces]


class Stage:
    """One attack through one library against ``classifier``, in ``precision``."""

    def __init__(
        self, spec: Attack, library: Library, classifier: Classifier, input_shape: tuple[int, int, int], precision: Precision
    ) -> None:
        contract = contract_of(spec)
        self.norm = spec.norm
        self.once_for_all_eps = contract.budget == "minimum-norm"
        self.starts_elsewhere = spec.starts_elsewhere
        self.targeted = bool(getattr(spec, "targeted", False))
        self.restarts = int(getattr(spec, "restarts", 1))
        self.precision: Precision = precision
        black_box = BlackBoxAccess(classifier, precision, decisions=contract.access == "decision")
        self.access: CountedAccess = CountedAccess(classifier, precision) if contract.access == "white-box" else black_box
        self.counts_queries = contract.access != "white-box"
        opponent = Opponent(self.access, input_shape, classifier.num_classes, str(classifier.device))
        self._craft = make_craft(spec, library, opponent)
        self._draws = type(classifier).begin is not Classifier.begin
        """Whether it may draw: then a gradient is of its own draw, and no eps may depend on which others are in the grid."""

    def __call__(self, question: Question, grid: Sequence[float]) -> list[Answer]:
        """The answer to ``question`` at each eps of ``grid``; a minimum-norm attack, which no eps changes, has one for all."""
        self.access.classifier.begin(seed_of_draws(question))
        if self.targeted:
            question = replace(question, target=likeliest_wrong(self.access, question.x, question.y, question.restart))
        shared = Shared()
        asked = [
            replace(question, eps=eps, shared=Shared() if self._draws else shared)
            for eps in (grid[:1] if self.once_for_all_eps else grid)
        ]
        return [self._answer(one) for one in asked] * (len(grid) // len(asked))

    def _answer(self, question: Question) -> Answer:
        access = self.access
        return self._ask_one_by_one(question, access) if isinstance(access, BlackBoxAccess) else Answer(self._ask(question))

    def _ask(self, question: Question) -> Tensor:
        self.access.classifier.begin(seed_of_draws(question))
        with global_streams(seed_of(question, 0, "stream")), multiplying(self.precision):
            return self._craft(question)

    def _ask_one_by_one(self, question: Question, access: BlackBoxAccess) -> Answer:
        """Black-box attacks meet one sample at a time: then each query is that sample's, and so is the random stream."""
        adversarial, traces = [], []
        for i in range(len(question)):
            one = question.take([i])
            access.trace = trace = Trace(one.x, one.y, self.norm)
            adversarial.append(self._ask(one))
            traces.append(trace)
        return Answer(torch.cat(adversarial), traces)


def make_stages(
    spec: Attack, carrier: Carrier, classifier: Classifier, input_shape: tuple[int, int, int], precision: Precision
) -> list[Stage]:
    """The stages of ``spec``: one, or an ensemble's members in turn."""
    if spec.members:
        return [Stage(member, library_of(member), classifier, input_shape, precision) for member in spec.members]
    if carrier == BOTH:
        raise ValueError(f"'{spec.attack}' is no ensemble: it runs through one library")
    return [Stage(spec, carrier, classifier, input_shape, precision)]


@torch.no_grad()
def likeliest_wrong(classifier: torch.nn.Module, x: Tensor, y: Tensor, rank: int) -> Tensor:
    """The class (N) that ``classifier`` finds likeliest but for ``rank`` others and ``y``; past the last it starts again."""
    logits: Tensor = classifier(x)
    ranked = logits.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    return ranked[:, rank % (ranked.shape[1] - 1)]
