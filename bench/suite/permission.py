"""Which code of a user's own a run may execute: none, unless whoever starts the run says so.

A suite has no say in it.
"""

from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from adapters.declaration import Declaration
from adapters.spec import OwnCode
from bench.errors import UserError
from bench.suite import yaml_lines


class Settings(Declaration):
    """A user's own settings. ``allow_code`` is true, or the folders below which code may run."""

    allow_code: bool | tuple[str, ...] = False


@dataclass(frozen=True)
class Permission:
    """Leave to run all code that suites name, or what lies below ``folders``."""

    everything: bool = False
    folders: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return self.everything or bool(self.folders)

    def covers(self, code: OwnCode) -> bool:
        """Whether ``code`` may run."""
        place = code.root.joinpath(*code.module.split(".")).resolve()
        return self.everything or any(place.is_relative_to(folder) for folder in self.folders)


NO_CODE = Permission()


def settings_file() -> Path:
    """Where a user's own settings are."""
    return Path(platformdirs.user_config_dir("lora-robustness-bench")) / "settings.yaml"


def permitted(*, allow_code: bool) -> Permission:
    """What may run: everything if this run is to ``allow_code``, else what the user's settings allow.

    Raises UserError if these cannot be read.
    """
    if allow_code:
        return Permission(everything=True)
    file = settings_file()
    if not file.is_file():
        return NO_CODE
    document = yaml_lines.read(file)
    try:
        allowed = Settings.model_validate(document.data or {}).allow_code
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        key = found.get("ctx", {}).get("key")
        place, _ = document.locate((*found["loc"], *([key] if key else [])))
        raise UserError(f"{place}: {found['msg']}; write allow_code: true, or a list of folders") from None
    if isinstance(allowed, bool):
        return Permission(everything=allowed)
    return Permission(folders=tuple(_folder(text, file) for text in allowed))


def _folder(text: str, file: Path) -> Path:
    try:
        folder = Path(text).expanduser()
    except RuntimeError:
        folder = Path()
    if not folder.is_absolute():
        raise UserError(f"{file}: allow_code: '{text}' is not an absolute path; write it from / or ~")
    return folder.resolve()
