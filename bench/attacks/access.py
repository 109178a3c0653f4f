"""The classifier as an attack sees it: every pass counted."""

from torch import Tensor, nn


class CountedAccess(nn.Module):
    """Hands ``classifier`` to an attack library, counting images passed forward and backward."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.forwards = 0
        self.backwards = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``; float64, which some attacks hand over, is brought to float32."""
        logits: Tensor = self.classifier(x.float())
        self.forwards += len(x)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)
