"""Library name -> the translation that carries an attack out."""

from torch import nn

from bench.attacks.attack import Attack
from bench.attacks.contract import Library
from bench.attacks.question import Craft


def make_craft(
    spec: Attack,
    library: Library,
    model: nn.Module,
    input_shape: tuple[int, int, int],
    num_classes: int,
    device: str,
) -> Craft:
    """``spec`` against ``model`` (images in [0, 1] -> logits) by ``library``, imported here and not before."""
    if library == "foolbox":
        from bench.attacks.via_foolbox import foolbox_craft

        return foolbox_craft(spec, model, device)
    from bench.attacks.via_art import art_craft

    return art_craft(spec, model, input_shape=input_shape, num_classes=num_classes, device=device)
