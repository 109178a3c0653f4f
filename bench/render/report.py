"""A stored run -> one HTML file that needs nothing else: no script, no font, no picture from outside."""

import io
import json
import re
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from bench.comparison.phrases import details
from bench.comparison.verdict import Verdict
from bench.eps import eps_text
from bench.ids import AttackEps
from bench.render.cells import across, percent, spread
from bench.render.figures import captions, make_figures
from bench.render.footer import not_run, precision_line, trust_summary, unranked
from bench.render.rates import ERROR, UNDECIDED, asr_gap, crosscheck_title, success_rates, title
from bench.scoring.scorecard import Scorecard
from bench.store import RunHeader
from bench.text import NONE, number


def to_html(card: Scorecard, header: RunHeader, verdict: Verdict | None) -> str:
    """The report of a run: ``verdict`` is that against its suite's reference, None if there is no reference."""
    environment = Environment(
        loader=PackageLoader("bench", "render"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )  # fmt: skip
    seeds = len({m.model.seed for m in card.models}) > 1
    figures = make_figures(card)

    return environment.get_template("report.html.j2").render(
        card=card,
        header=header,
        title=partial(title, seeds=seeds),
        spread=spread,
        across=across,
        rates=success_rates(card),
        ERROR=ERROR,
        UNDECIDED=UNDECIDED,
        asr_gap=asr_gap,
        crosschecks=crosscheck_title(card),
        precision=precision_line(card),
        percent=percent,
        number=number,
        none=NONE,
        questions=list(dict.fromkeys(AttackEps(c.attack, c.eps) for c in card.crosschecks)),
        said=card.sentences,
        method=card.method,
        trust=trust_summary(card)[0],
        flags=card.flags,
        unranked=unranked(card),
        headline=[c for c in card.cells if c.metrics and c.entry.eps == card.headline_eps],
        problems=[cell.entry for cell in card.cells if cell.entry.status == "error"],
        not_run=not_run(card),
        eps_text=eps_text,
        figures=[(name, said, _svg(name, figures[name])) for name, said in captions(card).items()],
        verdict=verdict,
        lines=list(details(verdict)) if verdict else [],
        suite=json.dumps(header.suite, indent=1),
    )


def _svg(name: str, figure: Figure) -> Markup:
    """``figure`` as an SVG element; ``name`` keeps its ids apart from those of the other figures on the page."""
    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    svg = text[text.index("<svg") :]
    named = re.sub(r'((?:id="|href="#|url\(#))', rf"\g<1>{name}-", svg)
    return Markup(named)  # noqa: S704 (drawn by us: matplotlib escapes the text in it)
