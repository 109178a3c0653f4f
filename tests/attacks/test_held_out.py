"""Whether what adaptive attacks leave of a defence is really robust: by an attack held out of the suites."""

import numpy as np
import pytest
import torch

import bench
from adapters.defences.bit_depth import BitDepth
from bench.ids import ModelId
from bench.scoring.model_ranking import rank_models
from bench.scoring.statistics import beats
from tests.builders.defended import defended
from tests.builders.levels import search
from tests.builders.small import digits, small_classifier


@pytest.mark.parametrize(("bits", "eps"), [(2, 24), (3, 24), (4, 20)])
def test_a_search_over_levels_breaks_no_more_of_a_squeezed_model_than_the_adaptive_attacks(
    bits: int, eps: int
) -> None:
    """The naive attack is weaker by far; the two adaptive ones, which share nothing, leave the same within
    a sign test."""
    samples, model = digits("test", 100), small_classifier()
    around = {"squeezed": {"of": "model", "defences": [{"defence": "bit-depth", "bits": bits}]}}
    pgd = {"attack": "pgd", "steps": 20, "rel_step_size": 0.1}
    result = bench.evaluate(
        model,
        samples.x,
        samples.labels,
        defended=around,
        attacks=[pgd],
        eps=[f"{eps}/255"],
        trust="off",
        libraries=["foolbox"],
    )
    ours = rank_models(result.run).worst_cases[ModelId("squeezed", 0)].robust > 0
    (score,) = result.card.defences
    assert score.naive is not None

    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.labels)
    found = search(model, x, y, eps / 255, bits)
    assert float((found - x).abs().max()) <= eps / 255 + 1e-6
    theirs = (defended(BitDepth(bits=bits), around=[model])(found).argmax(1) == y).numpy()
    missed, beaten = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    assert beats(missed, beaten) > 0.05, f"{missed} that only the search breaks, {beaten} that it does not"
    assert np.mean(theirs) < score.naive.value - 0.1, "what the naive attack left was not robust"
