"""The classifier as an attack sees it: every pass counted, nothing given that the threat model withholds."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from adapters.classifier import Classifier
from adapters.precision import autocast
from adapters.spec import Precision


class AccessError(RuntimeError):
    """An attack asked for what its threat model withholds."""


class CountedAccess(nn.Module):
    """Hands ``classifier`` to a library in ``precision``, counting images passed forward and backward."""

    classifier: Classifier

    def __init__(self, classifier: Classifier, precision: Precision = "fp32") -> None:
        super().__init__()
        # No layer of this one: before every gradient ART would go through all its layers and parameters.
        object.__setattr__(self, "classifier", classifier.eval())
        # By the first parameter libraries tell where a model is.
        self.place = nn.Parameter(torch.empty(0, device=classifier.device), requires_grad=False)
        self.precision = precision
        self.forwards = 0
        self.backwards = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Float32 logits of ``x``; float64, which some attacks hand over, is brought to float32."""
        with autocast(self.precision, x.device):
            logits: Tensor = self.classifier(x.float())
        self.forwards += x.shape[0]
        if logits.requires_grad:
            logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@dataclass
class Trace:
    """The queries made about one sample: how many, and which came nearer than any adversarial before."""

    original: Tensor
    label: Tensor
    norm: str
    queries: int = 0
    nearest: list[tuple[int, float]] = field(default_factory=list)

    def note(self, x: Tensor, pred: Tensor) -> None:
        """Count the queries ``x`` (M x 3 x H x W), predicted as ``pred`` (M)."""
        fooled = torch.nonzero(pred != self.label)[:, 0]
        if fooled.shape[0]:
            distances = distance(self.original, x[fooled], self.norm)
            for i, found in zip(fooled.tolist(), distances.tolist(), strict=True):
                if not self.nearest or found < self.nearest[-1][1]:
                    self.nearest.append((self.queries + i + 1, found))
        self.queries += x.shape[0]

    def queries_at(self, eps: float) -> int:
        """Queries until the first adversarial within ``eps``, or all of them if there was none."""
        return next((number for number, distance in self.nearest if distance <= eps), self.queries)


class BlackBoxAccess(CountedAccess):
    """Hands out scores (logits) or only decisions (1 for the predicted class, else 0).

    ``trace`` notes each query. Asking for a gradient raises AccessError.
    """

    def __init__(
        self,
        classifier: Classifier,
        precision: Precision = "fp32",
        trace: Trace | None = None,
        *,
        decisions: bool,
    ) -> None:
        super().__init__(classifier, precision)
        self.decisions = decisions
        self.trace = trace

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ``x``, or decisions on it. Raises AccessError if a gradient is asked for."""
        if x.requires_grad and torch.is_grad_enabled():
            raise AccessError("a black-box attack asked for a gradient")
        with torch.no_grad():
            logits = super().forward(x)
            pred = logits.argmax(1)
            if self.trace is not None:
                self.trace.note(x.float(), pred)
        return torch.eye(logits.shape[1], device=logits.device)[pred] if self.decisions else logits


def distance(x: Tensor, adversarial: Tensor, norm: str) -> Tensor:
    """Distances in ``norm`` on the [0, 1] scale, N; l0 counts pixels (positions changed in any channel)."""
    return size((adversarial - x).abs(), norm)


def size(change: Tensor, norm: str) -> Tensor:
    """The ``norm`` of each of the magnitudes ``change`` (N x C x H x W), N.

    Geometric attacks have no distance: theirs is 0, within every budget, and what bounds them is their
    parameters.
    """
    flat = change.flatten(1)
    if norm == "linf":
        return flat.amax(1)
    if norm == "l2":
        norms: Tensor = torch.linalg.vector_norm(flat, dim=1)
        return norms
    if norm == "l1":
        return flat.sum(1)
    if norm == "l0":
        return (change.amax(1) > 0).flatten(1).sum(1).float()
    return torch.zeros(len(flat), device=flat.device)
