"""How adversarial trainings went: accuracies on held-out training images over epochs, a panel a model."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.render import lines
from bench.render.lines import COLOURS
from bench.render.panels import Width, finished, panels, titled
from bench.scoring.scorecard import ModelScore, Scorecard
from bench.store.shapes import Robust

CURVES = (("clean", "clean", "#009E73"), ("fgsm", "FGSM", "#E69F00"), ("pgd", "PGD-10", "#0072B2"))
"""Field, name and colour of each curve."""
COLLAPSED = "#D55E00"


def training_curves(card: Scorecard, width: Width) -> Figure:
    """The curves of each adversarially trained model of ``card``, in the order of the leaderboard."""
    trained = [(m, m.robust) for m in card.models if m.robust]
    figure, axes = panels(len(trained), width)
    for axis, (model, robust) in zip(axes, trained, strict=True):
        _draw(axis, robust)
        titled(axis, _title(card, model, robust), width)
    return finished(figure, axes, "accuracy on held-out training images, %")


def losses(card: Scorecard, width: Width) -> Figure:
    """The training loss of each model of ``card`` that was trained, over epochs."""
    figure, (axis,) = panels(1, width)
    order = lines.models(card)
    for model in card.models:
        if model.losses:
            colour = COLOURS[order.index(model.model) % len(COLOURS)] if model.model in order else "black"
            epochs = range(1, len(model.losses) + 1)
            axis.plot(epochs, model.losses, color=colour, lw=1.2, marker=".", label=card.title(model.model))
    axis.set_ylim(bottom=0)
    axis.set_xlabel("epoch")
    return finished(figure, [axis], "training loss")


def _title(card: Scorecard, model: ModelScore, robust: Robust) -> str:
    return f"{card.title(model.model)}: {robust.method}, eps {robust.eps}"


def _draw(axis: Axes, robust: Robust) -> None:
    epochs = range(1, len(robust.pgd) + 1)
    for field, name, colour in CURVES:
        axis.plot(epochs, [100 * share for share in getattr(robust, field)], color=colour, lw=1.4, label=name)
    axis.plot(
        [robust.kept],
        [100 * robust.pgd[robust.kept - 1]],
        "o",
        color="black",
        ms=5,
        label="weights that stay",
    )
    if robust.collapsed is not None:
        axis.axvline(robust.collapsed, color=COLLAPSED, linestyle="--", lw=1, label="collapse")
    axis.set_ylim(-2, 102)
    axis.set_xlabel("epoch")
