"""What the models of a run see: which samples and classes, at what size, normalised how, and who said so.

In words.
"""

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.store import SCALED, DataEntry, ModelEntry, RunHeader

Fact = TypeVar("Fact", bound=Hashable)
ROOM = 44
"""Letters that the first classes' names may take in a line of 80."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SAID_BY = {
    "suite": "as the suite says",
    "weights": "the weights' own",
    "training": "trained with here",
    "architecture": "the architecture's default",
    "assumed": "assumed: give mean and std",
}


@dataclass(frozen=True)
class Seen:
    """One fact, as a line of text.

    ``assumed``: nobody has said so, and the numbers are wrong where it is not true.
    """

    text: str
    assumed: bool = False


def what_is_seen(header: RunHeader) -> tuple[Seen, ...]:
    """What models of the run with ``header`` see, one line each; empty in runs from before it was kept."""
    about_data = [*_data(header.data)] if header.data else []
    return (*about_data, *_normalisation(header.models), *_sizes(header), *_notes(header.models))


def classes_hash(classes: Sequence[str]) -> str:
    """sha256 of the classes in their order, one a line."""
    return hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape")).hexdigest()


def _data(data: DataEntry) -> Iterator[Seen]:
    n = (
        f"all {data.n}"
        if data.n == data.available
        else f"{data.n} of {data.available}"
        if data.available
        else str(data.n)
    )
    yield Seen(f"attacked: {n} samples at {_size(data)}")
    yield Seen(
        f"classes: {len(data.classes)} (order {classes_hash(data.classes)[:8]}): {_first(data.classes)}"
    )
    yield from map(Seen, data.notes)


def _size(data: DataEntry) -> str:
    """224 px, scaled up from 32 px: the side of an image, and how it came about where that is known."""
    how = "" if data.native is None else _scaling(data.size, *data.native)
    return f"{data.size} px{how}{', cropped' if data.cropped else ''}"


def _scaling(size: int, smallest: int, largest: int) -> str:
    if smallest == largest == size:
        return ", their own size"
    way = " up" if largest < size else " down" if smallest > size else ""
    if smallest == largest:
        return f", scaled{way} from {smallest} px"
    return f", scaled{way} (their shorter sides have {smallest} to {largest} px)"


def _first(names: Sequence[str]) -> str:
    """As many of ``names`` as there is room for, and at least the beginning of one."""
    shown: list[str] = []
    for name in names:
        if len(", ".join([*shown, name])) > ROOM:
            break
        shown.append(name)
    shown = shown or [f"{names[0][: ROOM - 1]}…"]
    return ", ".join([*shown, "..."] if len(shown) < len(names) else shown)


def _normalisation(models: Sequence[ModelEntry]) -> Iterator[Seen]:
    """One line where all models agree, else one for each normalisation."""
    known = [(m.model, m.preprocessing) for m in models if m.preprocessing]
    found = _grouped((name, (_rgb(p["mean"]), _rgb(p["std"]), p["origin"])) for name, p in known)
    for (mean, std, origin), names in found.items():
        of = f" of {', '.join(names)}" if len(found) > 1 else ""
        who = ["ImageNet's"] * ((mean, std) == IMAGENET) + [SAID_BY[origin]]
        text = f"normalisation{of}: mean {_channels(mean)}, std {_channels(std)} ({', '.join(who)})"
        yield Seen(text, assumed=origin == "assumed")


def _rgb(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, values))


def _channels(values: Sequence[float]) -> str:
    """0.485 0.456 0.406, or 0.5 where the channels are equal."""
    return " ".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))


def _sizes(header: RunHeader) -> Iterator[Seen]:
    """A line where weights were made for images of another size."""
    if header.data is None:
        return
    seen, models = header.data.size, {m.model for m in header.models}
    for side, names in _grouped((m.model, m.preprocessing.get(SCALED)) for m in header.models).items():
        if side is not None:
            yield Seen(
                f"scaled inside {', '.join(names)}: {seen} px images to {side} px, bilinear; eps is of the"
                f" {seen} px"
            )
    made_for = (
        (m.model, m.preprocessing.get("size")) for m in header.models if SCALED not in m.preprocessing
    )
    for size, names in _grouped(made_for).items():
        if size not in (None, seen):
            of = "" if len(names) == len(models) else f" of {', '.join(names)}"
            yield Seen(f"the weights{of} were made for {size} px, the images have {seen} px")


def _notes(models: Sequence[ModelEntry]) -> Iterator[Seen]:
    """What was chosen when the models' files were read; with their names, unless it is the same for all."""
    for text in dict.fromkeys(note for m in models for note in m.notes):
        names = dict.fromkeys(m.model for m in models if text in m.notes)
        of_all = len(names) == len({m.model for m in models}) > 1
        yield Seen(text if of_all else f"{', '.join(names)}: {text}")


def _grouped(facts: Iterable[tuple[str, Fact]]) -> dict[Fact, list[str]]:
    """The models that share each fact, each named once."""
    found: dict[Fact, dict[str, None]] = {}
    for name, fact in facts:
        found.setdefault(fact, {})[name] = None
    return {fact: list(names) for fact, names in found.items()}
