"""In which order ranked models are listed, and the one thing about it at which a reader may stumble."""

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple, Protocol

from bench.ids import ModelId


class Standing(NamedTuple):
    """What a model is listed by: its rank, its robust and its clean accuracy; None where it has none.

    A rank is 1 + the number of models shown to be more robust, so several may share one. It is the best place
    that the tests leave to the model (Mogstad et al. 2024, Inference for Ranks).
    """

    model: ModelId
    rank: int | None
    robust: float | None
    clean: float | None

    def key(self) -> tuple[float, float, float]:
        """To sort by, best first; what there is none of comes last."""
        _, rank, robust, clean = self
        return (
            float("inf") if rank is None else rank,
            1.0 if robust is None else -robust,
            1.0 if clean is None else -clean,
        )


class Listed(Protocol):
    """Whatever has a standing."""

    @property
    def standing(self) -> Standing: ...  # noqa: D102


def why_out_of_order(models: Iterable[Listed]) -> str | None:
    """Why one of ``models``, which are listed best first, stands above one of higher robust accuracy.

    None where none does. Paired tests are of the samples in which two models differ: of two close to each
    other, the better may be shown to lose to a third, and the other not.
    """
    ranked = [m.standing for m in models if m.standing.rank is not None]
    seeds = len({s.model.seed for s in ranked}) > 1
    for above, below in combinations(ranked, 2):
        if (below.robust or 0) > (above.robust or 0):
            first, second = (s.model.title(seeds=seeds) for s in (above, below))
            return (
                f"{first} stands above {second}, whose robust accuracy is higher: a rank is 1 + the number of"
                " models that paired tests show to be more robust"
            )
    return None
