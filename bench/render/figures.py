"""Scorecard -> figures: security curves, attack success, certainty, and success over queries."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.eps import format_eps
from bench.scoring.metrics import Metrics
from bench.scoring.queries import QueryScore
from bench.scoring.scorecard import CellScore, Scorecard

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Told apart by colour-blind readers (Okabe and Ito 2008)."""
STYLES = {"foolbox": ("-", "o", 4.5), "art": ("--", "x", 5.5)}
"""Line, marker and its size (points) of each library: where they agree, the cross lies on the dot."""
COLUMNS = 3
PANEL = (3.6, 3.0)
"""Width and height of one panel, in inches."""


def make_figures(card: Scorecard) -> dict[str, Figure]:
    """The figures of ``card`` by name; none where no cell has numbers."""
    cells = [cell for cell in card.cells if cell.metrics is not None]
    if not cells:
        return {}
    return {
        "security_curves": _grid(card, cells, _security_curves, "robust accuracy, %"),
        "attack_success": _attack_success(card),
        "certainty": _grid(card, cells, _certainty, "certainty"),
        **({"queries": _queries(card)} if card.queries else {}),
    }


Panel = Callable[[Axes, Scorecard, Sequence[CellScore]], None]


def _grid(card: Scorecard, cells: Sequence[CellScore], draw: Panel, ylabel: str) -> Figure:
    """One panel per attack."""
    attacks = list(dict.fromkeys(cell.entry.attack for cell in cells))
    figure, axes = _panels(len(attacks))
    for axis, attack in zip(axes, attacks, strict=True):
        own = [cell for cell in cells if cell.entry.attack == attack]
        draw(axis, card, own)
        axis.set_title(attack)
        axis.set_xlabel("eps, 1/255" if own[0].entry.norm == "linf" else f"eps ({own[0].entry.norm})")
    return _finished(figure, axes, ylabel)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of at most COLUMNS."""
    columns = min(COLUMNS, count)
    rows = ceil(count / columns)
    figure = Figure(figsize=(PANEL[0] * columns + 1.6, PANEL[1] * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, list(axes[:count])


def _finished(figure: Figure, axes: Sequence[Axes], ylabel: str) -> Figure:
    """``figure`` with what its panels share: the y axis' label and one legend."""
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.supylabel(ylabel, size="medium")
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside right upper", frameon=False)
    return figure


def _security_curves(axis: Axes, card: Scorecard, cells: Sequence[CellScore]) -> None:
    """Robust accuracy over eps with its 95 % interval; at eps 0 it is the clean accuracy."""
    for name, library, colour, own in _lines(card, cells):
        shares = [_metrics(own[0]).accuracy, *(_metrics(cell).robust_accuracy for cell in own)]
        eps = [0.0, *map(_eps, own)]
        _line(axis, eps, [100 * p.value for p in shares], name, library, colour)
        if library == "foolbox" or len({cell.entry.library for cell in cells}) == 1:
            axis.fill_between(
                eps, [100 * p.low for p in shares], [100 * p.high for p in shares], color=colour, alpha=0.12, lw=0
            )
    axis.set_ylim(0, 102)


def _certainty(axis: Axes, card: Scorecard, cells: Sequence[CellScore]) -> None:
    """Certainty under attack over eps; at eps 0 it is the clean one."""
    for name, library, colour, own in _lines(card, cells):
        values = [_metrics(own[0]).certainty, *(_metrics(cell).certainty_adv for cell in own)]
        _line(axis, [0.0, *map(_eps, own)], values, name, library, colour)
    axis.set_ylim(0, 1.02)


def _attack_success(card: Scorecard) -> Figure:
    """Attack success rate at the headline eps through either library, by attack and model, with 95 % intervals."""
    scores = [score for score in card.attacks if score.eps == card.headline_eps]
    attacks = list(dict.fromkeys(score.attack for score in scores))
    models = _models(card)
    width = 0.8 / max(1, len(models))
    figure = Figure(figsize=(max(5.0, 1.2 + 0.5 * len(attacks) * len(models)), 3.6), layout="constrained")
    axis = figure.subplots()
    for i, (model, seed) in enumerate(models):
        found = {score.attack: score.asr for score in scores if (score.model, score.seed) == (model, seed)}
        at = [attacks.index(attack) + (i - (len(models) - 1) / 2) * width for attack in found]
        heights = [100 * p.value for p in found.values()]
        errors = [[100 * (p.value - p.low) for p in found.values()], [100 * (p.high - p.value) for p in found.values()]]
        label = _name(card, model, seed)
        axis.bar(at, heights, width * 0.92, yerr=errors, capsize=3, color=COLOURS[i % len(COLOURS)], label=label, alpha=0.85)
    axis.set_xticks(range(len(attacks)), attacks)
    axis.set_ylim(0, 102)
    axis.set_ylabel(f"attack success rate at eps {card.headline_eps}, %")
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _queries(card: Scorecard) -> Figure:
    """Attack success rate over queries, one panel per black-box attack."""
    by_attack: dict[str, list[QueryScore]] = {}
    for q in card.queries:
        by_attack.setdefault(q.entry.attack, []).append(q)
    figure, axes = _panels(len(by_attack))
    for axis, (attack, scores) in zip(axes, by_attack.items(), strict=True):
        for q in scores:
            _steps(axis, card, q)
        axis.set_title(f"{attack}, eps {format_eps(Fraction(scores[0].entry.eps))}")
        axis.set_xscale("log")
        axis.set_ylim(-2, 102)
        axis.set_xlabel("queries")
    return _finished(figure, axes, "attack success rate, %")


def _steps(axis: Axes, card: Scorecard, q: QueryScore) -> None:
    e = q.entry
    reached = [0.0, *(100 * share for _, share in q.steps)]
    colour = COLOURS[_models(card).index((e.model, e.seed)) % len(COLOURS)]
    axis.step(
        [1, *(queries for queries, _ in q.steps), q.spent], [*reached, reached[-1]], where="post",
        linestyle=STYLES[e.library][0], color=colour, lw=1.4, label=f"{_name(card, e.model, e.seed)}, {e.library}",
    )  # fmt: skip


def _lines(card: Scorecard, cells: Sequence[CellScore]) -> Iterator[tuple[str, str, str, list[CellScore]]]:
    """(model, library, colour, its cells by ascending eps) for each line of a panel."""
    for i, (model, seed) in enumerate(_models(card)):
        for library in dict.fromkeys(cell.entry.library for cell in cells):
            own = [c for c in cells if (c.entry.model, c.entry.seed, c.entry.library) == (model, seed, library)]
            if own:
                yield _name(card, model, seed), library, COLOURS[i % len(COLOURS)], sorted(own, key=_eps)


def _line(axis: Axes, x: list[float], y: list[float], name: str, library: str, colour: str) -> None:
    line, marker, size = STYLES.get(library, (":", "s", 4.0))
    axis.plot(x, y, linestyle=line, marker=marker, markersize=size, color=colour, lw=1.4, label=f"{name}, {library}")


def _models(card: Scorecard) -> list[tuple[str, int]]:
    """Models in the order in which they were run, so that a model keeps its colour from run to run."""
    return list(dict.fromkeys((cell.entry.model, cell.entry.seed) for cell in card.cells))


def _name(card: Scorecard, model: str, seed: int) -> str:
    return f"{model} #{seed}" if len({cell.entry.seed for cell in card.cells}) > 1 else model


def _eps(cell: CellScore) -> float:
    return float(Fraction(cell.entry.eps)) * (255 if cell.entry.norm == "linf" else 1)


def _metrics(cell: CellScore) -> Metrics:
    if cell.metrics is None:
        raise ValueError(f"the cell {cell.entry.key} has no numbers")
    return cell.metrics
