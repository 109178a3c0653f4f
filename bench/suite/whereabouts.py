"""What a suite names by a path: found beside its file, in the current folder or, for data, the data root."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from adapters.backbones.sources import source_of
from adapters.errors import ModelError
from adapters.spec import Adaptation, BackboneSpec
from bench.data.raw import Places
from bench.data.spec import DataSpec
from bench.errors import SuiteError
from bench.suite.models import OwnNetwork
from bench.suite.permission import NO_CODE, Permission, settings_file

Spec = TypeVar("Spec", bound=BaseModel)
Backbone = TypeVar("Backbone", bound=BackboneSpec)
Where = tuple[str | int, ...]
LONGEST = 200
"""Characters of a path that a message shows."""
PUT = "put the images there, one folder per class, or correct path or --data-root"
REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
"""What can be the name of an adapter on the Hub."""


def located(
    declared: Spec, places: Places, permission: Permission = NO_CODE
) -> tuple[Spec, list[SuiteError]]:
    """The suite ``declared`` with each path as found from here; and what is nowhere, with places searched.

    What is found enters no key: those are of the content. Code that ``permission`` does not cover is refused,
    and nothing of it is run here in any case.
    """
    lost: list[SuiteError] = []
    return _Search(places, lost, permission).within(declared, ()), lost


@dataclass(frozen=True)
class _Search:
    """Looks in ``places``, and notes what is ``lost``."""

    places: Places
    lost: list[SuiteError]
    permission: Permission

    def within(self, declared: Spec, where: Where) -> Spec:
        """``declared``, which stands at ``where`` in the suite, with its paths as they are found."""
        changes: dict[str, object] = {}
        for name in type(declared).model_fields:
            value = getattr(declared, name)
            if isinstance(value, BaseModel):
                changes[name] = self.within(value, (*where, name))
            elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
                changes[name] = tuple(self.within(item, (*where, name, i)) for i, item in enumerate(value))
        changes |= self._own_path(declared, where)
        changed = {name: value for name, value in changes.items() if value != getattr(declared, name)}
        found = declared.model_copy(update=changed) if changed else declared
        return self._sourced(found, where) if isinstance(found, BackboneSpec) else found

    def _sourced(self, spec: Backbone, where: Where) -> Backbone:
        """``spec`` with its architecture as its source finds it."""
        source = source_of(spec)
        try:
            if source.runs_code and not self.permission:
                raise self._refused(spec)
            found = source.located(spec, list(_beside(self.places).values()))
            if found.code is not None and not self.permission.covers(found.code):
                raise self._refused(spec)
        except ModelError as error:
            self.lost.append(SuiteError(str(error), (*where, *(error.about or ("architecture",)))))
            return spec
        return found

    def _refused(self, spec: BackboneSpec) -> ModelError:
        return ModelError(
            f"{spec.architecture[:LONGEST]} is code, which a suite never runs on its own; if you trust it,"
            " give --allow-code (allow_code=True in Python), or name its folder under allow_code in"
            f" {settings_file()}"
        )

    def _own_path(self, spec: BaseModel, where: Where) -> dict[str, str]:
        """The path in ``spec``'s own fields, as found; empty if there is none, or it may be a Hub name."""
        near = _beside(self.places)
        if isinstance(spec, BackboneSpec | OwnNetwork) and spec.weights_file:
            return {"weights": self._found(str(spec.weights), "file", near, (*where, "weights"))}
        if isinstance(spec, DataSpec) and spec.path is not None and self.places.near:
            looked = {**near, "under the data root": self.places.root}
            found = self._found(spec.path, f"folder; {PUT}", looked, (*where, "path"))
            return {"path": str(Path(found).absolute())}  # else it would count from the data root again
        if isinstance(spec, Adaptation) and spec.place:
            named = spec.lies_at
            if _first(named, near) or not REPOSITORY.fullmatch(named):
                return {spec.place: self._found(named, "adapter folder", near, (*where, spec.place))}
        return {}

    def _found(self, path: str, what: str, looked: dict[str, Path], where: Where) -> str:
        """``path`` from the first of the folders ``looked`` at in which there is such a thing."""
        found = _first(path, looked)
        if found is None:
            self.lost.append(SuiteError(f"{path[:LONGEST]}: no such {what}{_looked(path, looked)}", where))
        return str(found or path)


def _beside(places: Places) -> dict[str, Path]:
    """The folders from which any path counts, by what they are."""
    names = ("beside the suite", "in the current folder")
    return dict(zip(names, places.near, strict=False)) or {"in the current folder": Path()}


def _first(path: str, looked: dict[str, Path]) -> Path | None:
    return next((found for place in looked.values() if _exists(found := place / _expanded(path))), None)


def _expanded(path: str) -> Path:
    """``path``, a leading ~ as a shell has it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user of this machine who is none
        return Path(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or that holds a NUL
        return False


def _looked(path: str, looked: dict[str, Path]) -> str:
    if (whole := _expanded(path)).is_absolute():
        return "" if str(whole) == path else f" ({str(whole)[:LONGEST]})"
    places: dict[str, str] = {}
    for name, place in looked.items():
        places.setdefault(str(place.absolute() / path[:LONGEST]), name)
    return f"; looked for {', '.join(f'{place} ({name})' for place, name in places.items())}"
