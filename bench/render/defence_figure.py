"""What defences gain, as bars: without them, against an attack that does not know them, and against one that does."""

from matplotlib.figure import Figure

from bench.eps import eps_text
from bench.scoring.scorecard import Scorecard

BARS = (("without", "undefended", "#999999"), ("naive", "naive attack", "#56B4E9"), ("adaptive", "adaptive attack", "#D55E00"))
WIDTH = 0.27


def defence_figure(card: Scorecard) -> Figure:
    """Robust accuracy at the headline eps of each defended model, with 95 % intervals."""
    figure = Figure(figsize=(max(5.0, 1.5 + 1.1 * len(card.defences)), 3.6), layout="constrained")
    axis = figure.subplots()
    for i, (name, label, colour) in enumerate(BARS):
        shares = [(place, share) for place, d in enumerate(card.defences) if (share := getattr(d, name)) is not None]
        at = [place + (i - 1) * WIDTH for place, _ in shares]
        heights = [100 * share.value for _, share in shares]
        errors = [[100 * (s.value - s.low) for _, s in shares], [100 * (s.high - s.value) for _, s in shares]]
        axis.bar(at, heights, WIDTH * 0.92, yerr=errors, capsize=2, color=colour, label=label)
    axis.set_xticks(range(len(card.defences)), [d.model.name for d in card.defences], rotation=20)
    axis.set_ylim(0, 102)
    axis.set_ylabel(f"robust accuracy at eps {eps_text(card.headline_eps)}, %")
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    return figure
