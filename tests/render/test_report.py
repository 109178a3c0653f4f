"""What people look at: the HTML report and the figures, against the numbers of the scorecard."""

import json
import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.cli.commands import main
from bench.ids import ModelId
from bench.render.class_table import class_rows
from bench.render.figures import make_figures
from bench.render.forest import LISTED, rows
from bench.render.numbers import percent
from bench.render.panels import HEIGHT, INCHES, Width, panels
from bench.render.report import to_html
from bench.scoring.score import score
from bench.scoring.scorecard import CellScore, Scorecard
from bench.store import StoredRun
from bench.text import NONE, number
from tests.builders.boards import three_seeds
from tests.builders.scene import Scene, store_scene
from tests.comparison.test_gate import rewrite

DRAWN = ("security_curves", "differences", "attack_success", "certainty", "confusion")

TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "span", "ul", "li", "div", "table",
    "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary", "pre", "script", "svg",
    "defs", "g", "path", "use", "text", "clippath", "rect", "wbr",
}  # fmt: skip
"""All that a report is made of."""


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
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "br", "img", "wbr"}:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            assert not key.startswith("on"), f"{tag} {key}"
            if key in {"src", "href", "xlink:href", "srcset", "poster", "data", "action"} and not (
                value or ""
            ).startswith("#"):
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
    assert not re.search(
        r"https?:|//[a-z]|@import|url\((?!#)|srcset|<base|<link|<form", text.replace("// Tables sort", "")
    )
    assert re.findall(r"<script[^>]*>", text) == ["<script>"]
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"" in text
    assert len(set(page.ids)) == len(page.ids), "the figures' ids must not collide"
    assert "<b>" not in text
    assert "<b>&\"'" in page.words


HOSTILE = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", '" onmouseover="alert(1)',
    "</td></table></details>", "{{ 7 * 7 }}", "$\\alpha$", "</text></svg><script>alert(1)</script>",
    "url(//evil.example)", "--><script>alert(1)</script>", "]]><style>*{}</style>",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_tables_and_figures(run: StoredRun, card: Scorecard, name: str) -> None:
    bad = ModelId(name, 0)
    renamed = replace(
        card,
        models=tuple(replace(m, model=bad) if m.model.name != "base" else m for m in card.models),
        cells=tuple(
            replace(c, entry=replace(c.entry, model=name)) if c.entry.model != "base" else c
            for c in card.cells
        ),
        attacks=tuple(replace(a, model=bad) if a.model.name != "base" else a for a in card.attacks),
        crosschecks=tuple(replace(c, model=bad) if c.model.name != "base" else c for c in card.crosschecks),
        headline=tuple(replace(c, first=bad) for c in card.headline),
        classes=tuple(
            (
                replace(s, model=bad, classes=tuple(replace(c, name=name) for c in s.classes))
                if s.model.name != "base"
                else s
            )
            for s in card.classes
        ),
    )
    text = to_html(renamed, run.header, None)
    page = Page(text)
    assert not page.open
    assert not page.asks
    assert name in page.words
    said = "".join("".join(page.words).split())
    assert said.count("".join(f"{name} vs base".split())) >= 2, "in both forest plots too"
    assert set(page.tags) <= TAGS
    assert page.tags.count("script") == 1


def test_differences_are_drawn_and_their_sentences_fold_away(run: StoredRun, card: Scorecard) -> None:
    text = to_html(card, run.header, None)
    folded = text[text.index("<details>") : text.index("</details>")]
    assert f"All {len(card.sentences)} in words" in folded
    assert folded.count("<li") == len(card.sentences)
    for row in rows(card)["<b>&\"' vs base"]:
        assert row.text in Page(text).words


def test_every_table_has_a_heading_for_each_column_and_its_own_box(run: StoredRun, card: Scorecard) -> None:
    text = to_html(card, run.header, None)
    for table in re.findall(r"<table>.*?</table>", text, re.DOTALL):
        head, *body = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        counts = {row.count("<td") for row in body}
        assert len(counts) == 1
        assert "<thead>" not in table or counts == {head.count("<th")}
    assert text.count("<table>") == text.count('<div class="scroll" tabindex="0" role="region" aria-label=')


def test_the_report_shows_each_class(run: StoredRun, card: Scorecard) -> None:
    words = Page(to_html(card, run.header, None)).words
    for scores in card.classes:
        assert {percent(c.robust_accuracy) for c in scores.classes} <= set(words)
    assert "0 (60)" in words
    few = [row.libraries for row in class_rows(card)]
    assert few == ["", "foolbox = art", "foolbox = art"] * 2


def test_report_shows_every_attack_success_rate(run: StoredRun, card: Scorecard) -> None:
    page = Page(to_html(card, run.header, None))
    for attack in card.attacks:
        assert percent(attack.asr, attack.trust) in page.words


def test_report_says_all_that_the_leaderboard_says(run: StoredRun, card: Scorecard) -> None:
    words = Page(to_html(card, run.header, None)).words
    assert {sentence.text for sentence in card.sentences} <= set(words)
    assert {remark.text for remark in card.remarks if remark.kind != "flag"} <= set(words)
    assert {f.detail for f in card.flags} <= set(words)
    for model in card.models:
        assert percent(model.worst_case, model.trust) in words


def test_report_shows_confidence_distance_and_curves(run: StoredRun, card: Scorecard) -> None:
    words = Page(to_html(card, run.header, None)).words
    cell = next(c for c in card.cells if c.entry.eps == Fraction(16, 255))
    assert cell.metrics is not None
    m = cell.metrics
    for before, after in (
        (m.ece, m.ece_adv),
        (m.prob_true, m.prob_true_adv),
        (m.confident_errors, m.confident_errors_adv),
    ):
        assert f"{number(before)} → {number(after)}" in words
    assert number(m.distances["linf"].median) in words
    for curve in card.curves:
        assert {number(curve.curve.area), number(curve.curve.median)} <= set(words)


def test_report_lists_cells_without_numbers(tmp_path: Path) -> None:
    path = store_scene(tmp_path, failing="pgd")
    broken = StoredRun(path)
    text = to_html(score(broken), broken.header, None)
    assert text.count("error: RuntimeError: planted") == 12
    words = Page(text).words
    assert "None" not in words
    assert words.count(NONE) > 0, "a model without a rank"
    assert len(re.findall(r'<td class="bad"[^>]*>error</td>', text)) == 2 * 3
    assert main(["report", str(path), "-o", str(tmp_path / "r.html")]) == 4


def test_security_curves_hold_the_scorecard_s_numbers(card: Scorecard) -> None:
    figure = make_figures(card)["security_curves"]
    axis = next(a for a in figure.axes if a.get_title() == "pgd")
    line = next(one for one in axis.get_lines() if one.get_label() == "base, foolbox = art")
    cells = [
        c for c in card.cells if (c.entry.model, c.entry.attack, c.entry.library) == ("base", "pgd", "art")
    ]
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
    assert names == {f"{name}.{kind}" for name in DRAWN for kind in ("pdf", "png", "svg")}
    assert (tmp_path / "f" / "certainty.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "f" / "certainty.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(("width", "inches"), [(1, 3.3), (2, 6.9)])
def test_figures_are_one_or_two_columns_wide(
    run: StoredRun, tmp_path: Path, width: int, inches: float
) -> None:
    assert main(["figures", str(run.path), "-o", str(tmp_path), "--width", str(width)]) == 0
    for file in tmp_path.glob("*.svg"):
        found = re.search(r'<svg [^>]*width="([\d.]+)pt"', file.read_text())
        assert found, file
        assert float(found[1]) == pytest.approx(72 * inches, abs=0.1), file
    assert len(list(tmp_path.glob("*.svg"))) == len(DRAWN)


def test_the_list_of_figures_draws_none(
    run: StoredRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["figures", str(run.path), "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(DRAWN)
    assert not list(tmp_path.iterdir())


def labels(figure: Figure) -> list[str]:
    return [str(line.get_label()) for line in figure.axes[0].get_lines()]


def test_libraries_that_agree_exactly_are_drawn_once_and_others_by_themselves(card: Scorecard) -> None:
    for name in ("security_curves", "certainty"):
        assert labels(make_figures(card)[name]) == [
            f"{model}, foolbox = art" for model in ("base", "<b>&\"'")
        ]
    one_sample = [
        replace(c, agreement=0.99) if (c.model.name, c.eps) == ("base", Fraction(8, 255)) else c
        for c in card.crosschecks
    ]
    apart = make_figures(replace(card, crosschecks=tuple(one_sample)))["security_curves"]
    assert labels(apart) == [
        "base, foolbox",
        "base, art",
        "<b>&\"', foolbox = art",
    ], "equal shares are not equal outcomes"


def test_lines_of_libraries_that_agree_but_lie_apart_are_both_drawn(card: Scorecard) -> None:
    def moved(c: CellScore) -> CellScore:
        if c.metrics is None or (c.entry.model, c.entry.library) != ("base", "art"):
            return c
        return replace(c, metrics=replace(c.metrics, certainty_adv=c.metrics.certainty_adv - 0.01))

    figures = make_figures(replace(card, cells=tuple(map(moved, card.cells))))
    assert labels(figures["certainty"]) == ["base, foolbox", "base, art", "<b>&\"', foolbox = art"]
    assert len(labels(figures["security_curves"])) == 2


def test_certainty_has_its_bands(card: Scorecard) -> None:
    axis = make_figures(card)["certainty"].axes[0]
    cells = [
        c
        for c in card.cells
        if (c.entry.model, c.entry.attack, c.entry.library) == ("base", "fgsm", "foolbox")
    ]
    low, high = zip(
        *((c.metrics.certainty_adv_low, c.metrics.certainty_adv_high) for c in cells if c.metrics),
        strict=True,
    )
    band = axis.collections[0].get_paths()[0].vertices
    assert {round(y, 9) for y in (*low, *high)} <= {round(float(y), 9) for y in np.asarray(band)[:, 1]}


def test_the_forest_has_every_pair_with_its_interval(card: Scorecard) -> None:
    (pair,) = rows(card)
    assert pair == "<b>&\"' vs base"
    own = rows(card)[pair]
    assert [row.where for row in own] == ["worst case 16/255", "fgsm 16/255", "pgd 16/255"]
    worst = card.headline[0].robust
    assert (own[0].difference, own[0].low, own[0].shown) == (
        100 * worst.difference,
        100 * worst.low,
        worst.shown,
    )
    texts = [text.get_text() for text in make_figures(card)["differences"].axes[0].texts]
    assert texts == [row.text for row in own]


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.filterwarnings("error")
def test_long_names_leave_room_for_the_numbers(card: Scorecard, width: Width) -> None:
    long = ModelId("lora-" + "r8_alpha16_on_every_layer_" * 4, 0)
    renamed = replace(
        card,
        headline=tuple(replace(c, first=long) for c in card.headline),
        cells=tuple(
            replace(c, entry=replace(c.entry, model=long.name)) if c.entry.model != "base" else c
            for c in card.cells
        ),
        classes=tuple(replace(s, model=long) if s.model.name != "base" else s for s in card.classes),
    )
    for name, figure in make_figures(renamed, width).items():
        figure.draw_without_rendering()
        inches = figure.axes[0].get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert inches.width > 0.25 * INCHES[width] / (3 if name == "confusion" else 1), name
        assert inches.height > 0.8, name


def test_many_panels_stand_two_abreast_in_one_column() -> None:
    for count, height in ((1, 1), (3, 3), (4, 2), (7, 4)):
        figure, axes = panels(count, 1)
        assert len(axes) == count
        assert figure.get_size_inches() == pytest.approx([INCHES[1], HEIGHT * height])
    assert panels(7, 2)[0].get_size_inches() == pytest.approx([INCHES[2], HEIGHT * 3])
    assert panels(4, 1, 3.0, sharey=False)[0].get_size_inches() == pytest.approx([INCHES[1], 4 * 3.0])


def test_of_many_pairs_the_forest_has_those_with_the_baseline(card: Scorecard) -> None:
    (one,) = card.headline
    others = [replace(one, first=ModelId(f"m{i}", 0), second=ModelId(f"m{i + 1}", 0)) for i in range(LISTED)]
    assert len(rows(replace(card, headline=tuple(others), comparisons=()))) == LISTED
    assert list(rows(replace(card, headline=(one, *others), comparisons=()))) == ["<b>&\"' vs base"]


def test_over_seeds_the_forest_compares_methods(tmp_path: Path) -> None:
    card = three_seeds(tmp_path)
    drawn = {(pair, row.difference) for pair, own in rows(card).items() for row in own}
    claims = [c for c in card.claims if c.quantity == "robust accuracy"]
    assert drawn == {(f"{c.model} vs {c.baseline}", 100 * c.difference) for c in claims}
    assert len(drawn) > 0


def test_the_confusion_figure_has_the_counts_of_the_strongest_attack(card: Scorecard) -> None:
    axes = make_figures(card)["confusion"].axes
    strongest = [s for s in card.classes if s.strongest]
    assert [axis.get_title() for axis in axes] == [f"{s.model.name}: {s.attack} 16/255" for s in strongest]
    for axis, scores in zip(axes, strongest, strict=True):
        counts = [str(n) for c in scores.classes for n in c.attacked if n]
        assert [text.get_text() for text in axis.texts] == counts


def test_no_numbers_no_figures(tmp_path: Path) -> None:
    path = store_scene(tmp_path)
    cells = [{**c, "status": "missing"} for c in json.loads((path / "run.json").read_text())["cells"]]
    rewrite(path / "run.json", cells=cells)
    assert make_figures(score(StoredRun(path))) == {}
    assert main(["figures", str(path), "-o", str(tmp_path / "f")]) == 4
