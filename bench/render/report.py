"""A stored run -> one HTML file that needs nothing else: no script, no font, no picture from outside.

Its own script only sorts tables; all is there without it.
"""

import io
import json
import re
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from bench.comparison.phrases import details
from bench.comparison.verdict import Verdict
from bench.eps import eps_text
from bench.ids import AttackEps
from bench.render.cell_tables import CONFIDENCE, CURVES, confidence_rows, curve_rows
from bench.render.class_table import class_names, class_rows
from bench.render.defences import HEAD, defence_rows
from bench.render.figures import captions, make_figures
from bench.render.fitted import SEPARATOR
from bench.render.numbers import across, percent, spread
from bench.render.panels import styled
from bench.render.rates import ERROR, asr_gap, crosscheck_title, success_rates
from bench.render.strips import by_model
from bench.scoring.scorecard import Scorecard
from bench.scoring.strips import Shown
from bench.store import RunHeader
from bench.text import NONE, number


def to_html(
    card: Scorecard, header: RunHeader, verdict: Verdict | None, samples: Iterable[Shown] = ()
) -> str:
    """The report of a run: ``verdict`` is that against its suite's reference, None if there is no reference.

    ``samples`` are attacked ones that are shown.
    """
    return _environment().get_template("report.html.j2").render(
        card=card,
        header=header,
        rates=success_rates(card),
        crosschecks=crosscheck_title(card),
        questions=list(dict.fromkeys(AttackEps(c.attack, c.eps) for c in card.crosschecks)),
        confidence=list(confidence_rows(card)),
        curves=list(curve_rows(card)),
        figures=_figures(card),
        defences=defence_rows(card),
        classes=list(class_rows(card)),
        class_names=class_names(card),
        samples=by_model(samples),
        verdict=verdict,
        lines=list(details(verdict)) if verdict else [],
        suite=json.dumps(header.suite, indent=1),
    )  # fmt: skip


def _environment() -> Environment:
    """Where the template is, and how it writes numbers, texts and headings."""
    environment = Environment(
        loader=PackageLoader("bench", "render"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )  # fmt: skip
    environment.filters |= {"heading": heading, "labelled": labelled}
    words = {"ERROR": ERROR, "dash": NONE}
    headings = {"CONFIDENCE": list(CONFIDENCE), "CURVES": list(CURVES), "defence_head": list(HEAD)}
    numbers = {"percent": percent, "spread": spread, "across": across, "number": number, "eps_text": eps_text}
    environment.globals |= {**words, **headings, **numbers, "asr_gap": asr_gap, "long": _long}
    return environment


LISTED = 12
"""Rows up to which a table is shown unfolded."""


def _long(rows: Sized) -> str:
    """What a table of these ``rows`` is folded under; nothing where it is short."""
    return f"All {len(rows)} rows" if len(rows) > LISTED else ""


def heading(name: str) -> Markup:
    """``name`` over a column, which may break behind its separators, but not inside "95 %"."""
    whole = str(escape(name.replace("95 %", "95\u00a0%")))
    return Markup(SEPARATOR.sub("<wbr>", whole))  # noqa: S704 (escaped on the line above)


def labelled(rows: Markup, head: Sequence[str]) -> Markup:
    """``rows`` of a table whose cells know the heading of their column: a phone has no room for columns."""

    def row(found: re.Match[str]) -> str:
        names = iter(head)
        return re.sub(
            r"<td([^>]*)>", lambda cell: f'<td{cell[1]} data-label="{escape(next(names))}">', found[0]
        )

    return Markup(re.sub(r"<tr.*?</tr>", row, rows, flags=re.DOTALL))  # noqa: S704 (all of it is escaped already)


@dataclass(frozen=True)
class _Figure:
    """A figure on the page: for screens and paper, and for phones."""

    caption: str
    wide: Markup
    narrow: Markup


def _figures(card: Scorecard) -> dict[str, _Figure]:
    wide, narrow = make_figures(card, 2), make_figures(card, 1)
    return {
        name: _Figure(
            caption, _svg(f"{name}-2", caption, wide[name]), _svg(f"{name}-1", caption, narrow[name])
        )
        for name, caption in captions(card).items()
    }


def _svg(name: str, caption: str, figure: Figure) -> Markup:
    """``figure`` as an SVG element in the page's colours; ``name`` keeps its ids apart from other figures."""
    out = io.StringIO()
    with styled(), rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue()
    body = re.sub(
        r"<metadata>.*?</metadata>", "", text[text.index(">", text.index("<svg")) + 1 :], flags=re.DOTALL
    )
    inked = re.sub(r"\b(fill|stroke): #000000", r"\1: currentColor", body)
    named = re.sub(r'((?:id="|href="#|url\(#))', rf"\g<1>{name}-", inked)
    width, height = (72 * inches for inches in figure.get_size_inches())
    head = f'<svg viewBox="0 0 {width:.2f} {height:.2f}" role="img" aria-label="{escape(caption)}">'
    return Markup(head + named)  # noqa: S704 (drawn by us: matplotlib escapes the text in it)
