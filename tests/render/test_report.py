"""What people look at: the HTML report and the figures, against the numbers of the scorecard."""

import json
import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from bench.cli.commands import main
from bench.render.cells import percent
from bench.render.figures import make_figures
from bench.render.footer import trust_summary
from bench.render.report import to_html
from bench.scoring.scorecard import Scorecard, score
from bench.store import StoredRun
from bench.text import number
from tests.builders.scene import Scene, store_scene
from tests.comparison.test_gate import rewrite


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A stored run of two models, one with a hostile name."""
    models = {"base": Scene().models["base"], "<b>&\"'": Scene().models["lora"]}
    return StoredRun(store_scene(tmp_path_factory.mktemp("report"), Scene(models=models)))


@pytest.fixture(scope="module")
def card(run: StoredRun) -> Scorecard:
    """Its scorecard."""
    return score(run)


class Page(HTMLParser):
    """Tags that are open, ids, and addresses that a page asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.asks: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in {"src", "href", "xlink:href"} and not (value or "").startswith("#"):
                self.asks.append(f"{tag} {value}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_report_is_one_well_formed_page_that_asks_for_nothing(run: StoredRun, card: Scorecard) -> None:
    text = to_html(card, run.header, None)
    page = Page(text)
    assert not page.open
    assert not page.asks
    assert not re.search(r"<script|@import|url\((?!#)", text)
    assert len(set(page.ids)) == len(page.ids), "the figures' ids must not collide"
    assert "<b>" not in text
    assert "<b>&\"'" in page.words


def test_report_shows_every_attack_success_rate(run: StoredRun, card: Scorecard) -> None:
    page = Page(to_html(card, run.header, None))
    for attack in card.attacks:
        assert percent(attack.asr, attack.trust) in page.words


def test_report_says_all_that_the_leaderboard_says(run: StoredRun, card: Scorecard) -> None:
    words = Page(to_html(card, run.header, None)).words
    assert {sentence.text for sentence in card.sentences} <= set(words)
    assert trust_summary(card)[0] in words
    assert {f.detail for f in card.flags} <= set(words)
    for model in card.models:
        assert percent(model.worst_case, model.trust) in words


def test_report_shows_confidence_distance_and_curves(run: StoredRun, card: Scorecard) -> None:
    words = Page(to_html(card, run.header, None)).words
    cell = next(c for c in card.cells if c.entry.eps == Fraction(16, 255))
    assert cell.metrics is not None
    m = cell.metrics
    for before, after in ((m.ece, m.ece_adv), (m.prob_true, m.prob_true_adv), (m.confident_errors, m.confident_errors_adv)):
        assert f"{number(before)} → {number(after)}" in words
    assert number(m.distances["linf"].median) in words
    for curve in card.curves:
        assert {number(curve.curve.area), number(curve.curve.median)} <= set(words)


def test_report_lists_cells_without_numbers(tmp_path: Path) -> None:
    path = store_scene(tmp_path, failing="pgd")
    broken = StoredRun(path)
    text = to_html(score(broken), broken.header, None)
    assert text.count("error: RuntimeError: planted") == 12
    assert text.count('<td class="bad">error</td>') == 2 * 3
    assert main(["report", str(path), "-o", str(tmp_path / "r.html")]) == 4


def test_security_curves_hold_the_scorecard_s_numbers(card: Scorecard) -> None:
    figure = make_figures(card)["security_curves"]
    axis = next(a for a in figure.axes if a.get_title() == "pgd")
    line = next(one for one in axis.get_lines() if one.get_label() == "base, art")
    cells = [c for c in card.cells if (c.entry.model, c.entry.attack, c.entry.library) == ("base", "pgd", "art")]
    robust = [100 * c.metrics.robust_accuracy.value for c in cells if c.metrics]
    assert np.asarray(line.get_xdata()).tolist() == pytest.approx([0, 8, 16, 32])
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([100, *robust])


def test_bars_hold_the_scorecard_s_numbers(card: Scorecard) -> None:
    bars = make_figures(card)["attack_success"].axes[0].patches
    wanted = [100 * a.asr.value for a in card.attacks if a.eps == card.headline_eps]
    heights = sorted(bar.get_height() for bar in bars if isinstance(bar, Rectangle))
    assert heights == pytest.approx(sorted(wanted))


def test_figures_on_the_command_line(run: StoredRun, tmp_path: Path) -> None:
    assert main(["figures", str(run.path), "-o", str(tmp_path / "f")]) == 0
    names = {file.name for file in (tmp_path / "f").iterdir()}
    assert names == {f"{n}.{k}" for n in ("security_curves", "attack_success", "certainty") for k in ("png", "svg")}
    assert (tmp_path / "f" / "certainty.png").read_bytes().startswith(b"\x89PNG")


def test_no_numbers_no_figures(tmp_path: Path) -> None:
    path = store_scene(tmp_path)
    cells = [{**c, "status": "missing"} for c in json.loads((path / "run.json").read_text())["cells"]]
    rewrite(path / "run.json", cells=cells)
    assert make_figures(score(StoredRun(path))) == {}
    assert main(["figures", str(path), "-o", str(tmp_path / "f")]) == 4
