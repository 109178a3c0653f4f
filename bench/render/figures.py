"""Scorecard -> figures, each by its name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from bench.attacks.registry import libraries
from bench.eps import eps_text
from bench.render import lines
from bench.render.alike import alike, joined
from bench.render.confusion import confusion
from bench.render.defence_figure import defence_figure
from bench.render.forest import forest, rows
from bench.render.lines import Line
from bench.render.panels import HEIGHT, INCHES, LETTERS, Width, finished, fitted, panels, styled, titled
from bench.render.training_figure import losses, training_curves
from bench.scoring.queries import QueryScore
from bench.scoring.scorecard import Scorecard

UPRIGHT = 0.8
"""Inches that names of attacks take where they stand upright."""
STYLES = (("-", "o", 4.5), ("--", "x", 5.5), ("-.", "+", 6.5), (":", "s", 4.0))
"""Line, marker and its size (points) of each registered library in turn, and of all others.

Where two agree, the cross lies on the dot.
"""


@dataclass(frozen=True)
class Kind:
    """A kind of figure: what it shows, how it is drawn, and whether a scorecard has what it draws."""

    caption: str
    draw: Callable[[Scorecard, Width], Figure]
    has: Callable[[Scorecard], object] = lines.attacks


def make_figures(card: Scorecard, width: Width = 2) -> dict[str, Figure]:
    """The figures of ``card`` by name, ``width`` columns of a page wide; none where no cell has numbers."""
    with styled():
        return {name: KINDS[name].draw(card, width) for name in captions(card)}


def captions(card: Scorecard) -> dict[str, str]:
    """The figures that ``card`` has, by name: what each shows."""
    if not lines.attacks(card):
        return {}
    return {name: kind.caption for name, kind in KINDS.items() if kind.has(card)}


def _robust_accuracy(card: Scorecard, width: Width) -> Figure:
    return _grid(card, width, lines.robust_accuracy, "robust accuracy, %", top=102)


def _certainty(card: Scorecard, width: Width) -> Figure:
    return _grid(card, width, lines.certainty, "certainty", top=1.02)


def _grid(
    card: Scorecard,
    width: Width,
    source: Callable[[Scorecard, str], Iterable[Line]],
    ylabel: str,
    *,
    top: float,
) -> Figure:
    """One panel per attack."""
    attacks = lines.attacks(card)
    figure, axes = panels(len(attacks), width)
    for axis, (attack, norm) in zip(axes, attacks.items(), strict=True):
        for line in source(card, attack):
            _draw(axis, line)
        titled(axis, attack, width)
        axis.set_xlabel("eps, 1/255" if norm == "linf" else f"eps ({norm})")
        axis.set_ylim(0, top)
    return finished(figure, axes, ylabel)


def _style(library: str) -> tuple[str, str, float]:
    """How ``library`` is drawn, in every run alike."""
    order = [lines.EITHER, *libraries()]
    return STYLES[min(max(order.index(library) - 1, 0), len(STYLES) - 1)] if library in order else STYLES[-1]


def _draw(axis: Axes, line: Line) -> None:
    style, marker, size = _style(line.library)
    colour = lines.COLOURS[line.model % len(lines.COLOURS)]
    face = (
        colour if line.model < len(lines.COLOURS) else "none"
    )  # of more models than colours, the marker tells them apart
    axis.plot(
        line.eps, line.values, style, marker=marker, ms=size, lw=1.2, color=colour, mfc=face, label=line.name
    )
    low, high = zip(*line.band, strict=True)
    axis.fill_between(line.eps, low, high, color=colour, alpha=0.12, lw=0)


def _attack_success(card: Scorecard, width: Width) -> Figure:
    """Attack success rate at the headline eps through any library, by attack and model; 95 % intervals."""
    models = list(lines.attack_success(card))
    attacks = list(dict.fromkeys(attack for bars in models for attack in bars.rates))
    thick = 0.8 / max(1, len(models))
    crowded = sum(map(len, attacks)) + 2 * len(attacks) > LETTERS * INCHES[width]
    figure, (axis,) = panels(1, width, HEIGHT + (UPRIGHT if crowded else 0))
    for bars in models:
        at = [attacks.index(attack) + (bars.model - (len(models) - 1) / 2) * thick for attack in bars.rates]
        heights = [value for value, _ in bars.rates.values()]
        errors = [
            [v - low for v, (low, _) in bars.rates.values()],
            [high - v for v, (_, high) in bars.rates.values()],
        ]
        colour = lines.COLOURS[bars.model % len(lines.COLOURS)]
        hatch = None if bars.model < len(lines.COLOURS) else "////"
        axis.bar(
            at, heights, thick * 0.92, yerr=errors, capsize=2, error_kw={"lw": 0.8},
            color=colour, label=bars.label, alpha=0.85, hatch=hatch,
        )  # fmt: skip
    axis.set_xticks(
        range(len(attacks)), [fitted(attack, 1) for attack in attacks], rotation=90 if crowded else 0
    )
    axis.set_ylim(0, 102)
    axis.set_axisbelow(True)
    finished(figure, [axis], f"attack success at eps {eps_text(card.headline_eps)}, %")
    axis.grid(visible=False, axis="x")
    return figure


def _queries(card: Scorecard, width: Width) -> Figure:
    """Attack success rate over queries, one panel per black-box attack."""
    by_attack: dict[str, list[QueryScore]] = {}
    for q in card.queries:
        by_attack.setdefault(q.entry.attack, []).append(q)
    figure, axes = panels(len(by_attack), width)
    for axis, (attack, scores) in zip(axes, by_attack.items(), strict=True):
        for same in alike(scores, lambda q: (q.entry.id.model, q.steps)):
            _steps(axis, card, same[0], [q.entry.library for q in same])
        titled(axis, f"{attack}, eps {eps_text(scores[0].entry.eps)}", width)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(
            StrMethodFormatter("{x:,.0f}")
        )  # its own writes formulas, which are off
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_ylim(-2, 102)
        axis.set_xlabel("queries")
    return finished(figure, axes, "attack success rate, %")


def _steps(axis: Axes, card: Scorecard, q: QueryScore, names: Sequence[str]) -> None:
    e = q.entry
    reached = [0.0, *(100 * share for _, share in q.steps)]
    at = [1, *(max(queries, 1) for queries, _ in q.steps), q.spent]
    colour = lines.COLOURS[lines.models(card).index(e.id.model) % len(lines.COLOURS)]
    axis.step(
        at, [*reached, reached[-1]], where="post",
        linestyle=_style(e.library)[0], color=colour, lw=1.2,
        label=f"{card.title(e.id.model)}, {joined(names)}",
    )  # fmt: skip


KINDS = {
    "security_curves": Kind(
        "Robust accuracy over eps. At eps 0 it is the clean accuracy; bands are 95 % intervals.",
        _robust_accuracy,
    ),
    "differences": Kind(
        "Differences in robust accuracy at the headline eps, paired by sample, with 95 % intervals of each "
        "alone; filled where a difference is shown after correction.",
        forest, rows,
    ),
    "attack_success": Kind(
        "Attack success at the headline eps, through any library; with 95 % intervals.", _attack_success
    ),
    "certainty": Kind(
        "Mean probability of the predicted class under attack. At eps 0 it is the clean certainty; "
        "bands are 95 % intervals.",
        _certainty,
    ),
    "confusion": Kind(
        "What the samples of each class are taken for under the attack that leaves the model the fewest "
        "right: counts, shaded by the share of the class.",
        confusion, lambda card: card.classes,
    ),
    "queries": Kind(
        "Attack success over the queries that a black-box attack makes about a sample, "
        "through each library by itself.",
        _queries, lambda card: card.queries,
    ),
    "defences": Kind(
        "Defended models: robust accuracy without the defence, against attacks that do not know it, "
        "and against all; bars are 95 % intervals.",
        defence_figure, lambda card: card.defences,
    ),
    "training": Kind(
        "Adversarial training: accuracy on held-out training images, clean, under one step and under PGD, "
        "by epoch.",
        training_curves, lambda card: any(m.robust for m in card.models),
    ),
    "losses": Kind("Training loss by epoch.", losses, lambda card: any(m.losses for m in card.models)),
}  # fmt: skip
