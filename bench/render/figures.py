"""Scorecard -> figures: security curves, attack success, certainty, and success over queries."""

from collections.abc import Callable, Iterator

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.attacks.registry import libraries
from bench.eps import eps_text
from bench.render import lines
from bench.render.defence_figure import defence_figure
from bench.render.lines import Line
from bench.render.panels import finished, panels
from bench.render.training_figure import training_curves
from bench.scoring.queries import QueryScore
from bench.scoring.scorecard import Scorecard

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Told apart by colour-blind readers (Okabe and Ito 2008)."""
STYLES = (("-", "o", 4.5), ("--", "x", 5.5), ("-.", "+", 6.5), (":", "s", 4.0))
"""Line, marker and its size (points) of each registered library in turn, and of all others: where two agree, the cross lies on
the dot."""


def make_figures(card: Scorecard) -> dict[str, Figure]:
    """The figures of ``card`` by name; none where no cell has numbers."""
    if not lines.attacks(card):
        return {}
    with rc_context({"text.parse_math": False}):  # a name with $ in it is no formula
        return {
            "security_curves": _grid(card, lines.robust_accuracy, "robust accuracy, %", top=102),
            "attack_success": _attack_success(card),
            "certainty": _grid(card, lines.certainty, "certainty", top=1.02),
            **({"queries": _queries(card)} if card.queries else {}),
            **({"defences": defence_figure(card)} if card.defences else {}),
            **({"training": training_curves(card)} if any(m.robust for m in card.models) else {}),
        }


def _grid(card: Scorecard, source: Callable[[Scorecard, str], Iterator[Line]], ylabel: str, *, top: float) -> Figure:
    """One panel per attack."""
    attacks = lines.attacks(card)
    figure, axes = panels(len(attacks))
    for axis, (attack, norm) in zip(axes, attacks.items(), strict=True):
        for line in source(card, attack):
            _draw(axis, line)
        axis.set_title(attack)
        axis.set_xlabel("eps, 1/255" if norm == "linf" else f"eps ({norm})")
        axis.set_ylim(0, top)
    return finished(figure, axes, ylabel)


def _style(library: str) -> tuple[str, str, float]:
    """How ``library`` is drawn, in every run alike."""
    order = [lines.EITHER, *libraries()]
    return STYLES[min(max(order.index(library) - 1, 0), len(STYLES) - 1)] if library in order else STYLES[-1]


def _draw(axis: Axes, line: Line) -> None:
    style, marker, size = _style(line.library)
    colour = COLOURS[line.model % len(COLOURS)]
    label = line.label if line.library == lines.EITHER else f"{line.label}, {line.library}"
    axis.plot(line.eps, line.values, linestyle=style, marker=marker, markersize=size, color=colour, lw=1.4, label=label)
    if line.band:
        low, high = zip(*line.band, strict=True)
        axis.fill_between(line.eps, low, high, color=colour, alpha=0.12, lw=0)


def _attack_success(card: Scorecard) -> Figure:
    """Attack success rate at the headline eps through either library, by attack and model, with 95 % intervals."""
    models = list(lines.attack_success(card))
    attacks = list(dict.fromkeys(attack for bars in models for attack in bars.rates))
    width = 0.8 / max(1, len(models))
    figure = Figure(figsize=(max(5.0, 1.2 + 0.5 * len(attacks) * len(models)), 3.6), layout="constrained")
    axis = figure.subplots()
    for bars in models:
        at = [attacks.index(attack) + (bars.model - (len(models) - 1) / 2) * width for attack in bars.rates]
        heights = [value for value, _ in bars.rates.values()]
        errors = [[v - low for v, (low, _) in bars.rates.values()], [high - v for v, (_, high) in bars.rates.values()]]
        colour = COLOURS[bars.model % len(COLOURS)]
        axis.bar(at, heights, width * 0.92, yerr=errors, capsize=3, color=colour, label=bars.label, alpha=0.85)
    axis.set_xticks(range(len(attacks)), attacks)
    axis.set_ylim(0, 102)
    axis.set_ylabel(f"attack success rate at eps {eps_text(card.headline_eps)}, %")
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _queries(card: Scorecard) -> Figure:
    """Attack success rate over queries, one panel per black-box attack."""
    by_attack: dict[str, list[QueryScore]] = {}
    for q in card.queries:
        by_attack.setdefault(q.entry.attack, []).append(q)
    figure, axes = panels(len(by_attack))
    for axis, (attack, scores) in zip(axes, by_attack.items(), strict=True):
        for q in scores:
            _steps(axis, card, q)
        axis.set_title(f"{attack}, eps {eps_text(scores[0].entry.eps)}")
        axis.set_xscale("log")
        axis.set_ylim(-2, 102)
        axis.set_xlabel("queries")
    return finished(figure, axes, "attack success rate, %")


def _steps(axis: Axes, card: Scorecard, q: QueryScore) -> None:
    e = q.entry
    reached = [0.0, *(100 * share for _, share in q.steps)]
    colour = COLOURS[lines.models(card).index(e.id.model) % len(COLOURS)]
    axis.step(
        [1, *(queries for queries, _ in q.steps), q.spent], [*reached, reached[-1]], where="post",
        linestyle=_style(e.library)[0], color=colour, lw=1.4, label=f"{lines.label(card, e.id.model)}, {e.library}",
    )  # fmt: skip
