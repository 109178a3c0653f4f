"""In which order models are listed, and what is said where ranks and robust accuracies disagree."""

from pathlib import Path

import numpy as np

from bench import render
from bench.comparison.ranking import ranked
from bench.ids import ModelId
from bench.render.ranking import runs_markdown
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.scoring.standing import Standing
from bench.store import StoredRun
from tests.builders.boards import SAMPLE, N, entry, open_board, records
from tests.render.test_leaderboard_formats import printed


def test_models_are_listed_by_rank_then_robust_then_clean_accuracy_and_stay_in_order() -> None:
    def model(rank: int | None, robust: float | None, clean: float | None, seed: int = 0) -> Standing:
        return Standing(ModelId("m", seed), rank, robust, clean)

    best_first = [
        model(1, 0.5, 0.7), model(1, 0.4, 0.9), model(1, 0.4, 0.8), model(1, 0.4, 0.8, seed=1),
        model(2, 0.6, 0.9), model(None, 0.3, 0.5), model(None, None, 0.9), model(None, None, None),
    ]  # fmt: skip
    mixed = [*best_first[4:], *best_first[:4]]
    assert sorted(mixed, key=Standing.key) == best_first


def card_of(folder: Path, broken: dict[str, np.ndarray]) -> Scorecard:
    """The run of models of which so many samples are broken."""
    cells = [entry(model, 0, "pgd", "8/255", library) for model in broken for library in ("foolbox", "art")]
    run = open_board(folder, cells)
    for cell in cells:
        run.write_cell(cell.key, records(broken[cell.model]), seconds=1.5, forwards=20, backwards=10)
    run.save("complete")
    return score(StoredRun(run.path))


WHY = (
    "apart stands above near, whose robust accuracy is higher: a rank is 1 + the number of models that paired"
    " tests show to be more robust"
)


def test_a_rank_above_a_higher_robust_accuracy_is_explained(tmp_path: Path) -> None:
    """``best`` breaks at 60 samples, ``near`` at these and 14 more, ``apart`` at 76, mostly others."""
    best = SAMPLE >= N - 60
    near = SAMPLE >= N - 74
    apart = (SAMPLE >= 44) & (SAMPLE < 120)
    card = card_of(tmp_path, {"near": near, "apart": apart, "best": best})
    assert [(m.model.name, m.rank, m.worst_case and m.worst_case.count) for m in card.models] == [
        ("best", 1, 96), ("apart", 1, 80), ("near", 2, 82),
    ]  # fmt: skip
    assert [remark.text for remark in card.remarks_on("order")] == [WHY]
    assert WHY in " ".join(printed(card, 80).split())
    assert f"- {WHY}\n" in render.to_markdown(card)
    found = ranked(tmp_path)
    assert [remark.text for remark in found.rankings[0].remarks] == [WHY]
    assert f"- {WHY}\n" in runs_markdown(found)


def test_nothing_is_said_where_ranks_follow_robust_accuracy(tmp_path: Path) -> None:
    card = card_of(tmp_path, {"weak": SAMPLE >= 40, "best": SAMPLE >= 100})
    assert [(m.model.name, m.rank) for m in card.models] == [("best", 1), ("weak", 2)]
    assert card.remarks_on("order") == []
    assert "whose robust accuracy is higher" not in printed(card, 80)
