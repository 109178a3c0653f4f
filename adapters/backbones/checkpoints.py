"""Checkpoints as people have them -> the state dict of one network.

With it comes, in words, what was chosen, stripped and filled in. Training scripts nest the weights
(``state_dict``, ``model``, ``model_ema``), and wrappers put prefixes before the names (DataParallel
``module.``, torch.compile ``_orig_mod.``, Lightning ``model.``). None of these is looked for by name: a
reading is a nested key and a prefix under which every tensor of the network is found, in its shape, and
nothing else.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from adapters.backbones.weights import Problems, equal, listed, mismatches, read_saved, same_tensor, some
from adapters.errors import ModelError
from adapters.files.guards import brief

DEEPEST = 3
"""How deep a state dict is looked for: ``{"ema": {"model": {"state_dict": ...}}}``."""
COUNTER = "num_batches_tracked"
"""BatchNorm's count, which files from before PyTorch 0.4.1 lack; no prediction depends on it."""
OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
"""torchvision's names of DenseNet's layers until 0.3, of ViT's until 0.13: its published files have both."""
WRAPPER = re.compile(r"\b(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What wrappers put into names: only in some, or in the middle, where they wrap a part of the network."""
NORMALISES = {"mean", "std", "mu", "sigma"}


@dataclass(frozen=True)
class Weights:
    """A network's state dict, and sentences on how it was read."""

    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A way to read a file: the ``state`` under ``key`` whose names begin with ``prefix``, which is cut off.

    ``beside`` are the names there that do not begin so; ``notes`` say what else was changed.
    """

    key: str
    prefix: str
    state: dict[str, Tensor]
    beside: tuple[str, ...]
    notes: tuple[str, ...]
    problems: Problems

    def told(self, file: Path) -> Weights:
        """The weights, with sentences on every choice that was made."""
        where = f"the weights under '{brief(self.key)}'" if self.key else ""
        stripped = f"the prefix '{brief(self.prefix)}' taken off their names" if self.prefix else ""
        chosen = (" with ".join(filter(None, [where or ("the weights" if stripped else ""), stripped])),)
        left = (
            f"left out, since not under the prefix: {some(list(self.beside))}{_normalises(self.beside)}"
            if self.beside
            else ""
        )
        return Weights(
            self.state, tuple(f"{file.name}: {said}" for said in (*chosen, left, *self.notes) if said)
        )

    def __str__(self) -> str:
        return f"{{key: '{brief(self.key)}', prefix: '{brief(self.prefix)}'}}"


def _normalises(names: tuple[str, ...]) -> str:
    found = [name for name in names if name.rpartition(".")[2] in NORMALISES]
    return " (if images were normalised by these, give them as mean and std of the backbone)" if found else ""


def read_checkpoint(
    file: Path, network: nn.Module, key: str | None = None, prefix: str | None = None
) -> Weights:
    """The weights of ``network`` in ``file``; where ``network`` has two rows, one a class, any number fits.

    ``key`` and ``prefix`` choose among several readings. Raises ModelError if none fits, or more than one,
    and no choice is made.
    """
    tables = dict(_tables(read_saved(file)))
    if not tables:
        raise ModelError(f"{file}: not a plain state dict (name -> tensor); save model.state_dict() alone")
    chosen = {at: table for at, table in tables.items() if key in (None, at)}
    readings = [reading for at, table in chosen.items() for reading in _readings(at, table, network, prefix)]
    if not readings:
        raise ModelError(_nothing_there(file, tables, key, prefix))
    fitting = _fitting(readings)
    if not fitting:
        fitting = _fitting(
            [r for at, table in chosen.items() for r in _unwrapped_readings(at, table, network, prefix)]
        )
    if len(fitting) > 1:
        choices = " or ".join(map(str, fitting))
        raise ModelError(
            f"{file}: more than one set of weights in it fits this network; say which, beside weights:"
            f" {choices}"
        )
    if not fitting:
        raise ModelError(_misfit(file, readings, network))
    return fitting[0].told(file)


def _fitting(readings: list[Reading]) -> list[Reading]:
    return _different([reading for reading in readings if not reading.problems])


def _tables(saved: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tables of tensors in ``saved``, by the dotted key under which each lies."""
    seen: set[int] = set()

    def walk(found: object, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        if not isinstance(found, dict) or id(found) in seen or len(path) > DEEPEST:
            return
        seen.add(id(found))
        named = {name: value for name, value in found.items() if isinstance(name, str)}
        tensors = {
            name: value for name, value in named.items() if isinstance(value, Tensor) and not value.is_nested
        }
        if tensors:
            yield ".".join(path), tensors
        for name, value in named.items():
            yield from walk(value, (*path, name))

    return walk(saved, ())


def _readings(key: str, table: dict[str, Tensor], network: nn.Module, prefix: str | None) -> list[Reading]:
    """The ways to read ``table``: by ``prefix``, or by those under which most of the network's names are."""
    notes: tuple[str, ...] = ()
    renamed = {name: new for name in table if (new := _renamed(name)) != name and new not in table}
    if renamed:
        table = {renamed.get(name, name): tensor for name, tensor in table.items()}
        notes = (f"torchvision's old names are brought up to date: {some(list(renamed))}",)
    likely = _prefixes(table, network.state_dict())
    asked = likely if prefix is None else _given(prefix, table)
    return [_reading(key, _but_for_others(table, found, likely), network, found, notes) for found in asked]


def _unwrapped_readings(
    key: str, table: dict[str, Tensor], network: nn.Module, prefix: str | None
) -> list[Reading]:
    """The ways to read ``table`` without wrappers' names; none if it has none or two names would be one."""
    wrapped = [name for name in table if WRAPPER.search(name)]
    bare = {WRAPPER.sub("", name): tensor for name, tensor in table.items()}
    if not wrapped or len(bare) < len(table):
        return []
    prefixes = " and ".join(
        f"'{found}'" for found in sorted({found for name in wrapped for found in WRAPPER.findall(name)})
    )
    note = f"the prefix {prefixes} of a wrapper taken out of some names: {some(wrapped)}"
    return [
        replace(reading, notes=(*reading.notes, note)) for reading in _readings(key, bare, network, prefix)
    ]


def _renamed(name: str) -> str:
    for old, new in OLD_NAMES:
        name = old.sub(new, name)
    return name


def _given(prefix: str, table: Mapping[str, Tensor]) -> list[str]:
    """``prefix`` with its dot; nothing if no name in ``table`` begins so."""
    whole = prefix if not prefix or prefix.endswith(".") else f"{prefix}."
    return [whole] if any(name.startswith(whole) for name in table) else []


def _but_for_others(table: Mapping[str, Tensor], prefix: str, likely: list[str]) -> dict[str, Tensor]:
    """``table`` without other whole networks whose prefixes begin with ``prefix``.

    Such is an average beside what it is of.
    """
    inner = tuple(other for other in likely if other != prefix and other.startswith(prefix))
    return {name: tensor for name, tensor in table.items() if not name.startswith(inner)}


def _prefixes(table: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """What stands in ``table`` before names that are ``wanted``, the likeliest first; at least one."""
    depth, votes = max(name.count(".") for name in wanted) + 1, Counter({"": 0})
    for name in table:
        parts = name.rsplit(".", depth)
        for i in range(len(parts)):
            if (tail := ".".join(parts[i:])) in wanted:
                votes[name[: -len(tail)]] += 1
    needed = sum(not name.endswith(COUNTER) for name in wanted) // 2  # more than tied names can hide
    likely = [prefix for prefix, count in votes.most_common() if count > needed]
    return likely or [votes.most_common(1)[0][0]]


def _reading(
    key: str, table: Mapping[str, Tensor], network: nn.Module, prefix: str, notes: tuple[str, ...]
) -> Reading:
    state = {name.removeprefix(prefix): tensor for name, tensor in table.items() if name.startswith(prefix)}
    wanted = network.state_dict().keys() - state.keys()
    taken = [name for name in table if name in wanted and not name.startswith(prefix)]
    beside = tuple(name for name in table if not name.startswith(prefix) and name not in wanted)
    if taken:
        state |= {name: table[name] for name in taken}
        notes = (*notes, f"taken as they are, without the prefix: {some(taken)}")
    state, more = _completed(state, network)
    return Reading(
        key, prefix, state, beside, (*notes, *more), mismatches(_for_any_classes(network, state), state)
    )


def _completed(state: dict[str, Tensor], network: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """``state`` with what it may lack, and without what the network makes itself; and what was done."""
    wanted, own = network.state_dict(), dict(network.named_buffers())
    made = [
        name
        for name, tensor in state.items()
        if name not in wanted and name in own and equal(tensor, own[name])
    ]
    counters = [name for name in wanted if name not in state and name.endswith(COUNTER)]
    known = {same_tensor(name, tensor): name for name, tensor in wanted.items() if name in state}
    tied = {
        name: known[same]
        for name, t in wanted.items()
        if name not in state and (same := same_tensor(name, t)) in known
    }
    notes = {
        f"left out, since the network makes them itself: {some(made)}": made,
        f"{COUNTER}, on which no prediction depends, is missing and starts at 0": counters,
        f"filled in, being one tensor with another name of the network: {some(list(tied))}": tied,
    }
    state = {name: tensor for name, tensor in state.items() if name not in made}
    state |= {name: wanted[name] for name in counters} | {name: state[other] for name, other in tied.items()}
    return state, tuple(note for note, names in notes.items() if names)


def _for_any_classes(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``network``, of two classes, wants, with ``state``'s number of rows where that is a head's."""

    def free(name: str, tensor: Tensor) -> bool:
        return name in state and state[name].dim() > 0 and tensor.shape == (2, *state[name].shape[1:])

    return {
        name: state[name] if free(name, tensor) else tensor for name, tensor in network.state_dict().items()
    }


def _different(readings: list[Reading]) -> list[Reading]:
    """``readings`` without those whose weights another one has too."""
    kept: list[Reading] = []
    for reading in readings:
        if not any(
            all(equal(tensor, other.state[name]) for name, tensor in reading.state.items()) for other in kept
        ):
            kept.append(reading)
    return kept


def _nothing_there(file: Path, tables: Mapping[str, object], key: str | None, prefix: str | None) -> str:
    if key is not None and key not in tables:
        known = some([f"'{at}'" for at in tables])
        return f"{file}: there are no weights under the key '{brief(key)}'; the file has: {known}"
    return (
        f"{file}: no name there begins with the prefix '{brief(prefix)}'; list the names with"
        " `torch.load(file).keys()`"
    )


def _misfit(file: Path, readings: list[Reading], network: nn.Module) -> str:
    """What is wrong with the nearest reading."""
    nearest = min(readings, key=lambda reading: sum(map(len, reading.problems.values())))
    at = f" ({nearest})" if nearest.key or nearest.prefix else ""
    head = [name for name, tensor in network.state_dict().items() if tensor.shape[:1] == (2,)]
    missing = nearest.problems.get("missing", [])
    lost = _without_head(nearest, missing) if missing and set(missing) == set(head) else ""
    return f"{file}{at} does not fit this network; {listed(nearest.problems)}{lost}"


def _without_head(nearest: Reading, missing: list[str]) -> str:
    """What to do where the last layer alone is ``missing``: it may stand beside under a name of its own."""
    if nearest.beside:
        others, prefix = some(list(nearest.beside)), brief(nearest.prefix)
        return (
            f"; beside the prefix '{prefix}' are {others}: if the head is among them, save it as"
            f" {some(missing)}"
        )
    return "; these weights hold no head: name some that include the last layer"
