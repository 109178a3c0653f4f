"""Which outputs of a network's own head are the data's classes: some, reordered, or one for two classes."""

import json
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Outputs:
    """``index`` are the outputs, among ``of``, that stand for the data's classes, in the order of the labels.

    Those of other classes are cut off, or ``kept`` behind them, so that an image may be predicted as none of
    the data's. Of one output for two classes, z, the logits are 0 and z: their softmax is 1 - sigmoid(z) and
    sigmoid(z).
    """

    index: tuple[int, ...]
    of: int
    kept: bool = False

    @property
    def count(self) -> int:
        """How many logits there are."""
        return self.of if self.kept else len(self.index)

    @property
    def changes(self) -> bool:
        """Whether the logits are any other than the network's outputs as they are."""
        return self.index != tuple(range(self.of))

    def to_json(self) -> str:
        """As kept beside a model."""
        return json.dumps(asdict(self)) + "\n"


def from_json(text: bytes) -> Outputs:
    """Undoes ``Outputs.to_json``."""
    fields = json.loads(text)
    return Outputs(tuple(fields["index"]), fields["of"], fields["kept"])


class ReadOut(nn.Module):
    """N x ``outputs.of`` outputs of a network to N x ``outputs.count`` logits."""

    columns: Tensor

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        others = sorted(set(range(outputs.of)) - set(outputs.index)) if outputs.kept else []
        self.of = outputs.of
        self.register_buffer("columns", torch.tensor([*outputs.index, *others]), persistent=False)

    def forward(self, given: Tensor) -> Tensor:
        """The logits in ``given``, which may be N if there is one output.

        Raises ValueError for another number of outputs.
        """
        if self.of == 1:
            z = given.reshape(len(given), -1)
            self._check(z)
            return torch.cat([torch.zeros_like(z), z], dim=1)
        self._check(given)
        return given.index_select(1, self.columns)

    def _check(self, given: Tensor) -> None:
        if given.dim() != 2 or given.shape[1] != self.of:
            raise ValueError(
                f"the network gives {tuple(given.shape[1:])} outputs for an image, not the {self.of} that"
                " it has"
            )
