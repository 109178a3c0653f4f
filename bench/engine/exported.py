"""What a suite may ask of networks that come whole: exported ones, and those without gradients."""

from collections.abc import Sequence

from adapters.backbones.sources import source_of
from adapters.spec import NoneSpec
from bench.attacks.spec import contract_of
from bench.engine.networks import Network
from bench.errors import UserError, asked_at
from bench.suite.suite import Suite


def check_exported(suite: Suite, networks: Sequence[Network]) -> None:
    """Raise SuiteError where ``suite`` would train what is frozen, or follow gradients where none are."""
    for network in networks:
        model, spec, source = suite.models[network.i], network.spec, source_of(network.spec)
        name = spec.architecture.rpartition("/")[2]
        if source.frozen and not isinstance(model.adaptation, NoneSpec):
            with asked_at("models", network.i, "adaptation"):
                raise UserError(
                    f"'{model.adaptation.method}': {name} is a network as it was exported: nothing is trained"
                    " on it, and no adapter is put on it; take method none, or give the network's"
                    " architecture and its weights as a file"
                )
        if source.keeps_classes and spec.pretrain:
            with network.asked_at("pretrain"):
                raise UserError(f"{name} comes with its weights; drop pretrain")
        if not source.gives_gradients:
            _check_attacks(suite, model.name, name)


def _check_attacks(suite: Suite, model: str, file: str) -> None:
    for i, attack in enumerate(suite.attacks):
        if contract_of(attack).access == "white-box":
            with asked_at("attacks", i):
                raise UserError(
                    f"'{attack.attack}' follows gradients, which the model {model} ({file}) does not give:"
                    " ONNX Runtime computes answers alone; take black-box attacks (square, hopskipjump;"
                    " `bench list attacks`), give this model a suite of its own, or try architecture:"
                    f" onnx2torch/{file}, which has gradients"
                )
