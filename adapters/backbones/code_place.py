"""Where a network's own code lies: found without running any of it."""

import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from adapters.errors import ModelError
from adapters.files.guards import brief, is_there
from adapters.spec import OwnCode

WRITTEN = re.compile(r"(?P<where>[^:]+):(?P<name>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)")
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
INSTALLED = {"site-packages", "dist-packages"}
OURS = {"bench", "adapters"}
FIX = "write my_package.module:build, or path/to/file.py:build"


def find_code(architecture: str, folders: Sequence[Path]) -> OwnCode:
    """The code that ``architecture`` names, looked for in ``folders``, then among what is installed.

    Raises ModelError if there is none. A module is looked up as Python does, but no package is imported on
    the way.
    """
    written = WRITTEN.fullmatch(architecture)
    if written is None:
        raise ModelError(f"{brief(architecture)}: names no code; {FIX}")
    where, name = written["where"], written["name"]
    if where.endswith(".py"):
        return _of_file(where, name, folders)
    if not MODULE.fullmatch(where):
        raise ModelError(f"{brief(where)}: neither the name of a module nor a file that ends in .py; {FIX}")
    if where.partition(".")[0] in sys.stdlib_module_names:
        raise ModelError(f"{where}: belongs to Python itself, which has no networks; {FIX}")
    return OwnCode(_root_of(_module(where, folders), where), where, name)


def _of_file(where: str, name: str, folders: Sequence[Path]) -> OwnCode:
    candidates = [folder / Path(where).expanduser() for folder in folders]
    found = next((file for file in candidates if is_there(file)), None)
    if found is None:
        looked = " and ".join(dict.fromkeys(str(folder.absolute()) for folder in folders))
        raise ModelError(f"{brief(where)}: no such file; looked for it from {looked}")
    return _within_packages(found.absolute(), name)


def _within_packages(file: Path, name: str) -> OwnCode:
    """The module that ``file`` is: while a folder has an __init__.py, it is a package within the next one."""
    root, parts = file.parent, [] if file.name == "__init__.py" else [file.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    return OwnCode(root, ".".join(parts), name)


def _module(name: str, folders: Sequence[Path]) -> Path:
    """The file of the module ``name``. Raises ModelError if there is none."""
    top, *rest = name.split(".")
    path = [*map(str, folders), *sys.path]
    spec, known = PathFinder.find_spec(top, path) or _hooked(top), top
    for part in rest:
        inside = spec.submodule_search_locations if spec else None
        known = f"{known}.{part}"
        spec = PathFinder.find_spec(known, list(inside)) if inside is not None else None
    if spec is None or not spec.has_location or spec.origin is None:
        looked = " and ".join(dict.fromkeys(str(folder.absolute()) for folder in folders))
        raise ModelError(f"no module '{brief(known)}' in {looked}, nor installed; {FIX}")
    return Path(spec.origin).absolute()


def _hooked(top: str) -> ModuleSpec | None:
    """What a finder of an editable install knows of ``top``; those of code that has run know what was."""
    finders = (finder for finder in sys.meta_path if not hasattr(finder, "code"))
    return next((spec for finder in finders if (spec := finder.find_spec(top, None)) is not None), None)


def _root_of(file: Path, module: str) -> Path:
    """The folder from which ``file`` is imported as ``module``."""
    return file.parents[module.count(".") + (file.name == "__init__.py")]


def is_installed(code: OwnCode) -> bool:
    """Whether ``code`` is that of an installed package, which does not change while a process runs."""
    return bool(INSTALLED & set(code.root.parts)) or code.module.partition(".")[0] in OURS
