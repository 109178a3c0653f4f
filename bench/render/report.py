"""A stored run -> one HTML file that needs nothing else: no script, no font, no picture from outside."""

import io
import json
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from bench.render.cells import number, percent
from bench.render.figures import make_figures
from bench.render.footer import precision_line
from bench.render.words import details
from bench.scoring.crosscheck import CrossCheck
from bench.scoring.scorecard import ModelScore, Scorecard
from bench.store import RunHeader
from bench.verdict import Verdict

CAPTIONS = {
    "security_curves": "Robust accuracy over eps. At eps 0 it is the clean accuracy; bands are 95 % intervals.",
    "attack_success": "Attack success at the headline eps, through either library; bars are 95 % intervals.",
    "certainty": "Mean probability of the predicted class under attack. At eps 0 it is the clean certainty.",
}


def to_html(card: Scorecard, header: RunHeader, verdict: Verdict | None) -> str:
    """The report of a run: ``verdict`` is that against its suite's reference, None if there is no reference."""
    environment = Environment(
        loader=PackageLoader("bench", "render"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )  # fmt: skip
    seeds = len({m.seed for m in card.models}) > 1

    def title(model: ModelScore | CrossCheck) -> str:
        return f"{model.model} #{model.seed}" if seeds else model.model

    return environment.get_template("report.html.j2").render(
        card=card,
        header=header,
        title=title,
        precision=precision_line(card),
        percent=percent,
        number=number,
        questions=list(dict.fromkeys((c.attack, c.eps) for c in card.crosschecks)),
        success={(a.model, a.seed, a.attack, a.eps): a.asr for a in card.attacks},
        problems=[cell.entry for cell in card.cells if cell.entry.status != "ok"],
        figures=[(name, CAPTIONS[name], _svg(name, figure)) for name, figure in make_figures(card).items()],
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
