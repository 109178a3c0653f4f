"""Our ways to adapt a backbone: none, full, head, filter atoms, peft's on named layers, folders of peft."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adapters.errors import about
from adapters.methods.method import Method
from adapters.spec import (
    Adaptation,
    AtomsSpec,
    BoftSpec,
    DoraSpec,
    FullSpec,
    HeadSpec,
    HraSpec,
    LohaSpec,
    LokrSpec,
    LoraSpec,
    NoneSpec,
    OftSpec,
    PeftSpec,
)

if TYPE_CHECKING:
    from torch import nn


class Unadapted(Method):
    """Nothing is trained."""

    spec: type[Adaptation] = NoneSpec

    def adapt(self, network: "nn.Module", spec: NoneSpec, seed: int) -> "nn.Module":  # noqa: ARG002
        """``network`` itself."""
        return network

    def is_meant(self, network: "nn.Module", spec: NoneSpec, name: str) -> bool:  # noqa: ARG002
        """No parameter."""
        return False


class Full(Method):
    """Everything is trained."""

    spec: type[Adaptation] = FullSpec

    def adapt(self, network: "nn.Module", spec: FullSpec, seed: int) -> "nn.Module":  # noqa: ARG002
        """``network`` itself, all of it trainable."""
        return network.requires_grad_(True)

    def is_meant(self, network: "nn.Module", spec: FullSpec, name: str) -> bool:  # noqa: ARG002
        """Every parameter."""
        return True


class Head(Method):
    """The last layer is trained."""

    spec: type[Adaptation] = HeadSpec

    def adapt(self, network: "nn.Module", spec: Adaptation, seed: int) -> "nn.Module":  # noqa: ARG002
        """``network`` itself, with its head trainable."""
        from adapters.backbones.networks import find_head

        find_head(network)[1].requires_grad_(True)
        return network

    def is_meant(self, network: "nn.Module", spec: Adaptation, name: str) -> bool:  # noqa: ARG002
        """The parameters of the head."""
        from adapters.backbones.networks import find_head

        return name.startswith(find_head(network)[0] + ".")


class Atoms(Head):
    """The atoms of all spatial filters are trained, and the last layer."""

    spec: type[Adaptation] = AtomsSpec

    def adapt(self, network: "nn.Module", spec: Adaptation, seed: int) -> "nn.Module":
        """``network`` with its spatial convolutions as coefficients x atoms."""
        from adapters.methods.atoms import ATOMS

        network = super().adapt(self.reshaped(network), spec, seed)
        for name, parameter in network.named_parameters():
            if name.endswith(ATOMS):
                parameter.requires_grad_(True)
        return network

    def is_meant(self, network: "nn.Module", spec: Adaptation, name: str) -> bool:
        """The atoms, and the parameters of the head."""
        from adapters.methods.atoms import ATOMS

        return name.endswith(ATOMS) or super().is_meant(network, spec, name)

    def reshaped(self, network: "nn.Module") -> "nn.Module":
        """``network`` with its spatial convolutions split."""
        from adapters.methods.atoms import split_into_atoms

        return split_into_atoms(network)


class Tuned(Method):
    """A method of peft on named layers: its configuration is ``config``, with the declaration's ``options``.

    ``from_zero``: whether it can learn a head that starts at zero, as one that adds to weights can.
    """

    def __init__(
        self,
        spec: type[Adaptation],
        config: str,
        options: Callable[[Any], dict[str, Any]],
        *,
        from_zero: bool = True,
    ) -> None:
        self.spec = spec
        self.config, self.options, self.from_zero = config, options, from_zero

    def adapt(self, network: "nn.Module", spec: Any, seed: int) -> "nn.Module":
        """``network`` as a PeftModel."""
        from adapters.methods.peft_methods import with_adapter

        return with_adapter(network, spec, self.config, self.options(spec), seed, from_zero=self.from_zero)

    def layers(self, network: "nn.Module", spec: Any) -> tuple[str, ...]:
        """Those that its targets mean."""
        from adapters.methods.peft_methods import resolve_targets

        return tuple(resolve_targets(network, spec.targets))

    def is_meant(self, network: "nn.Module", spec: Any, name: str) -> bool:  # noqa: ARG002
        """The adapter's own parameters, and a copy of the head where no adapter is on it."""
        return (
            f".{network.active_adapter}" in name
            and "base_layer" not in name
            and "original_module" not in name
        )


class Oft(Tuned):
    """OFT, without what peft gets wrong of it."""

    def adapt(self, network: "nn.Module", spec: Any, seed: int) -> "nn.Module":
        """``network`` as a PeftModel.

        Raises ModelError for layers and blocks that peft would not merge, or would change.
        """
        from adapters.methods.peft_methods import check_oft

        check_oft(network, spec)
        return super().adapt(network, spec, seed)


class PeftFolder(Method):
    """An adapter that was trained elsewhere."""

    spec: type[Adaptation] = PeftSpec

    def adapt(self, network: "nn.Module", spec: PeftSpec, seed: int) -> "nn.Module":  # noqa: ARG002
        """``network`` as a PeftModel with that adapter."""
        from adapters.methods.peft_folder import load_adapter

        return load_adapter(network, spec.path)

    def is_meant(self, network: "nn.Module", spec: PeftSpec, name: str) -> bool:  # noqa: ARG002
        """No parameter: nothing is trained here."""
        return False

    @about("path")
    def content(self, spec: PeftSpec) -> str:
        """A hash of the folder's configuration and weights."""
        from adapters.methods.peft_folder import content_hash

        return content_hash(spec.path)

    def notes(self, network: "nn.Module", spec: PeftSpec) -> tuple[str, ...]:
        """What is ignored, rounded, or cannot be known."""
        from adapters.methods.base import notes_on_adapter

        return notes_on_adapter(network, spec.path)

    def brings_head(self, network: "nn.Module", spec: PeftSpec) -> bool:
        """Whether the adapter was saved with its head."""
        from adapters.methods.base import holds_head

        return holds_head(spec.path, network)

    def base(self, network: "nn.Module", has: int, folder: str, wanted: int) -> "nn.Module":
        """``network`` with the head that the adapter was put on."""
        from adapters.methods.base import fit_base

        return fit_base(network, has, folder, wanted)


def _lora(spec: LoraSpec | DoraSpec) -> dict[str, Any]:
    return {"r": spec.r, "lora_alpha": spec.alpha, "lora_dropout": spec.dropout}


BUILT_IN: tuple[Method, ...] = (
    Unadapted(),
    Full(),
    Head(),
    Atoms(),
    PeftFolder(),
    Tuned(LoraSpec, "LoraConfig", lambda s: {**_lora(s), "use_dora": False}),
    Tuned(DoraSpec, "LoraConfig", lambda s: {**_lora(s), "use_dora": True}, from_zero=False),
    Tuned(LohaSpec, "LoHaConfig", lambda s: {"r": s.r, "alpha": s.alpha}),
    Tuned(LokrSpec, "LoKrConfig", lambda s: {"r": s.r, "alpha": s.alpha}),
    Oft(OftSpec, "OFTConfig", lambda s: {"r": s.blocks, "oft_block_size": 0}, from_zero=False),
    Tuned(
        BoftSpec,
        "BOFTConfig",
        lambda s: {"boft_block_size": s.block_size, "boft_n_butterfly_factor": 1},
        from_zero=False,
    ),
    Tuned(HraSpec, "HRAConfig", lambda s: {"r": s.r}, from_zero=False),
)
