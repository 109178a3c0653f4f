"""A network's own code: its module, what that imports from the same package or folder, and so on."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from adapters.backbones.code_place import INSTALLED, OURS, is_installed
from adapters.errors import ModelError
from adapters.spec import OwnCode


@dataclass(frozen=True)
class Module:
    """A module as its file is now. ``file`` is None for a folder of modules that has no code of its own."""

    file: Path | None
    source: bytes
    is_package: bool


def modules_of(code: OwnCode, more: tuple[str, ...] = ()) -> dict[str, Module]:
    """All modules of ``code`` by name, found by reading; ``more`` are names whose import cannot be read.

    Raises ModelError for a file that is not Python.
    """
    found: dict[str, Module] = {}
    waiting = [code.module, *more]
    while waiting:
        name = waiting.pop()
        for whole in _with_parents(name):
            if whole not in found and (module := _read(code.root, whole)) is not None:
                found[whole] = module
                waiting += [other for other in _imports(whole, module) if _belongs(other, code)]
    used = {
        parent for name, module in found.items() if module.file is not None for parent in _with_parents(name)
    }
    return {name: found[name] for name in sorted(found) if name in used}


def content_of(modules: Mapping[str, Module]) -> str:
    """One sha256 of the names and files of ``modules``."""
    digest = hashlib.sha256()
    for name, module in modules.items():
        digest.update(f"{name}\0{hashlib.sha256(module.source).hexdigest()}\0".encode())
    return digest.hexdigest()


def _with_parents(name: str) -> list[str]:
    """A, a.b and a.b.c for a.b.c."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _belongs(name: str, code: OwnCode) -> bool:
    """Whether a module of this ``name`` can be of the same package or folder as ``code``."""
    top = name.partition(".")[0]
    if top == code.module.partition(".")[0]:
        return True
    return not (is_installed(code) or top in sys.stdlib_module_names or top in OURS or _is_in_use(top))


def _is_in_use(top: str) -> bool:
    """Whether this process runs with an installed package so named: no file in a folder takes its place."""
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and bool(INSTALLED & set(Path(file).parts))


def _read(root: Path, name: str) -> Module | None:
    """The module ``name`` below ``root``; None if there is none."""
    place = root.joinpath(*name.split("."))
    for file, is_package in ((place / "__init__.py", True), (place.with_name(f"{place.name}.py"), False)):
        if file.is_file():
            return Module(file, file.read_bytes(), is_package)
    for suffix in EXTENSION_SUFFIXES:
        if (file := place.with_name(f"{place.name}{suffix}")).is_file():
            return Module(file, file.read_bytes(), is_package=False)
    return Module(None, b"", is_package=True) if place.is_dir() else None


def _imports(name: str, module: Module) -> Iterator[str]:
    if module.file is None or module.file.suffix != ".py":
        return
    package = name if module.is_package else name.rpartition(".")[0]
    for level, base, names in _import_statements(module.source, str(module.file)):
        start = base if not level else ".".join(filter(None, [_above(package, level - 1), base]))
        yield from filter(None, [start, *(f"{start}.{one}".lstrip(".") for one in names)])


def _above(package: str, levels: int) -> str:
    parts = package.split(".")
    return ".".join(parts[: len(parts) - levels])


@lru_cache(maxsize=4096)
def _import_statements(source: bytes, file: str) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """Every import anywhere in ``source``: its level of dots, the module, and the names taken from it."""
    try:
        tree = ast.parse(source, file)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ModelError(f"{file}:{line}: not valid Python ({getattr(error, 'msg', error)})") from None
    found: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(0, one.name, ()) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", tuple(one.name for one in node.names)))
    return tuple(found)
