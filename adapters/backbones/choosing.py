"""Which of a network's own outputs are the data's classes: by number, the weights' names, or ImageNet's."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from adapters.declaration import did_you_mean
from adapters.errors import ModelError, about, within
from adapters.files.guards import brief
from adapters.outputs import Outputs
from adapters.spec import BackboneSpec

IMAGENET_OUTPUTS = 1000
SYNSET = re.compile(r"n\d{8}")
NUMBERED = re.compile(r"(\d+) (.+)")
"""A class name that begins with its number, as those of the data source imagenet-samples do."""
NO_NAME = re.compile(r"LABEL_\d+")
"""What transformers calls a class whose name nobody gave."""
SHOWN = 6
"""Names that an error lists."""
ONE_LOGIT = Outputs((0, 0), 1)
"""One output for two classes."""


@within("backbone")
@about("classes")
def chosen_outputs(spec: BackboneSpec, own: Sequence[str], has: int, classes: tuple[str, ...]) -> Outputs:
    """Which of ``has`` outputs ``spec.classes`` chooses for ``classes``.

    ``own`` are the outputs' names, where the weights give any. Raises ModelError for a class that has no
    output, or one of several, and where two classes have the same.
    """
    names = _Names(own if len(own) == has else (), has)
    index = tuple(names.find(entry) for entry in _entries(spec, classes))
    for i, output in enumerate(index):
        if output in index[:i]:
            both = f"'{brief(classes[index.index(output)])}' and '{brief(classes[i])}'"
            raise ModelError(f"classes: output {output} would stand for both {both}; give each class its own")
    return Outputs(index, has, kept=spec.other_classes == "keep")


@within("backbone")
@about("classes")
def outputs_by_own_names(own: Sequence[str], classes: tuple[str, ...], *, must: bool) -> Outputs | None:
    """The outputs in the order of ``classes``, where ``own``, the weights' names of them, are these classes.

    None where the names tell nothing: there are none, or they are numbered labels. Raises ModelError where
    they are those of other classes, if they ``must`` be the data's.
    """
    if len(own) != len(classes) or all(NO_NAME.fullmatch(name) for name in own):
        return None
    lost = [name for name in classes if not any(same_name(name, other) for other in own)]
    if not lost:
        return chosen_outputs(BackboneSpec(classes="by-name"), own, len(own), classes)
    if must:
        raise ModelError(
            f"the weights name their classes differently from the data: none of {_first(own)} is"
            f" '{brief(lost[0])}'; say which output each of the data's classes ({_first(classes)}) is, like"
            " classes: [0, 1, ...] in their order"
        )
    return None


def _first(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(f"'{brief(name)}'" for name in names[:SHOWN]) + more


def _entries(spec: BackboneSpec, classes: tuple[str, ...]) -> Sequence[int | str]:
    """What ``spec`` says of each of ``classes``, in their order."""
    if isinstance(spec.classes, Mapping):
        if lacking := [name for name in classes if name not in spec.classes]:
            hint = did_you_mean(lacking[0], [*spec.classes])
            raise ModelError(
                f"classes: gives no output for '{brief(lacking[0])}', a class of the data; {hint}"
            )
        if more := [name for name in spec.classes if name not in classes]:
            raise ModelError(
                f"classes: '{brief(more[0])}' is not a class of the data;"
                f" {did_you_mean(more[0], list(classes))}"
            )
        return [spec.classes[name] for name in classes]
    if isinstance(spec.classes, tuple):
        if len(spec.classes) != len(classes):
            raise ModelError(
                f"classes: gives {len(spec.classes)} outputs, but the data have {len(classes)} classes"
            )
        return spec.classes
    return classes


class _Names:
    """A network's outputs by their names: ``own`` (empty if nothing names them), and ImageNet's of 1,000."""

    def __init__(self, own: Sequence[str], has: int) -> None:
        self.own = () if all(NO_NAME.fullmatch(name) for name in own) else tuple(own)
        self.has = has
        self.imagenet = has == IMAGENET_OUTPUTS and (not self.own or _is_imagenet(self.own))

    def find(self, entry: int | str) -> int:
        """The output that ``entry`` stands for."""
        if isinstance(entry, int):
            return self._in_range(entry, str(entry))
        if self.own.count(entry) == 1:
            return self.own.index(entry)
        known = imagenet_names() if self.imagenet else ()
        found = _called(entry, [self.own]) or _called(entry, known)
        if len(found) > 1:
            raise ModelError(
                f"classes: {len(found)} outputs are called '{brief(entry)}': give one of the numbers {found}"
            )
        if found:
            return found[0]
        if not self.own and entry.isdecimal():
            return self._in_range(int(entry), entry)
        if (numbered := NUMBERED.fullmatch(entry)) and int(numbered[1]) in _called(numbered[2], known):
            return int(numbered[1])
        raise ModelError(
            f"classes: no output of this network is called '{brief(entry)}'; {self._known(entry)}"
        )

    def _in_range(self, number: int, said: str) -> int:
        if number >= self.has:
            raise ModelError(
                f"classes: there is no output {brief(said)}: the network has {self.has}, from 0 to"
                f" {self.has - 1}"
            )
        return number

    def _known(self, entry: str) -> str:
        if self.own:
            return did_you_mean(entry, [*self.own])[:300]
        if self.imagenet:
            return "ImageNet's names and synsets (n01440764), and numbers from 0 to 999, are known"
        return f"its {self.has} outputs have no names here: give numbers, in the order of the data's classes"


def _called(entry: str, tables: Sequence[Sequence[str]]) -> list[int]:
    """The outputs that any of ``tables`` calls so."""
    return sorted({i for table in tables for i, name in enumerate(table) if same_name(entry, name)})


def _is_imagenet(own: Sequence[str]) -> bool:
    """Whether ``own`` are ImageNet's classes in its order, but for names that are spelt otherwise."""
    same = sum(
        any(same_name(part, name) for part in said.split(","))
        for said, name in zip(own, imagenet_names()[2], strict=True)
    )
    return same >= IMAGENET_OUTPUTS // 2


def same_name(said: str, name: str) -> bool:
    """Whether ``said`` is ``name``, or a synonym between its commas; case, and _ for a space, are all one."""
    plain = _plain(said)
    return plain == _plain(name) or plain in (_plain(part) for part in name.split(","))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


@cache
def imagenet_names() -> tuple[tuple[str, ...], ...]:
    """ImageNet's classes in ILSVRC 2012's order, three times: synsets, torchvision's names and timm's."""
    from timm.data import ImageNetInfo
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    info = ImageNetInfo("imagenet-1k")
    described = tuple(info.index_to_description(i) for i in range(IMAGENET_OUTPUTS))
    return tuple(info.label_names()), tuple(_IMAGENET_CATEGORIES), described
