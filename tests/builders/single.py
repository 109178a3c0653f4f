"""A network that takes images of any precision, as the libraries hand them over."""

from torch import Tensor, nn


class Single(nn.Module):
    """``model`` for images of any precision, as accesses are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x`` (N x 3 x H x W)."""
        logits: Tensor = self.model(x.float())
        return logits
