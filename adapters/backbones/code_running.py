"""A network's own code, run: what executes are the very bytes in keys, whatever was imported before."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

from adapters.backbones.code_content import Module, content_of, modules_of
from adapters.backbones.code_place import INSTALLED, is_installed
from adapters.errors import ModelError, about
from adapters.spec import OwnCode

ALIAS = "own_code_"
"""Before the name of a single file, which may be called as any other module is."""


@dataclass(frozen=True)
class Loaded:
    """What ``name`` means in some code, and the hash of all files of that code."""

    made: object
    content: str
    files: Mapping[str, Path]


_loaded: dict[tuple[OwnCode, str], object] = {}
_hidden: dict[OwnCode, tuple[str, ...]] = {}
"""Modules that were imported, though no reading finds their names."""


@about("architecture")
def load(code: OwnCode) -> Loaded:
    """What ``code`` names, as its files are now.

    Raises ModelError if it fails, or does not hold that name.
    """
    modules = modules_of(code, _hidden.get(code, ()))
    content = content_of(modules)
    if (code, content) not in _loaded:
        before = set(sys.modules)
        made = _run(code, modules)
        if hidden := _overlooked(code, modules, before):
            _hidden[code] = (*_hidden.get(code, ()), *hidden)
            return load(code)
        _loaded[code, content] = made
    files = {name: module.file for name, module in modules.items() if module.file is not None}
    return Loaded(_loaded[code, content], content, files)


def _run(code: OwnCode, modules: Mapping[str, Module]) -> object:
    with _said_plainly(code, "cannot be imported"):
        if is_installed(code):
            found: object = import_module(code.module)
        else:
            with _importable(code, modules):
                found = import_module(_imported_as(code, modules))
    for part in code.name.split("."):
        if not hasattr(found, part):
            raise ModelError(f"{code.module} has no '{code.name}'; name a function or a class in it")
        found = getattr(found, part)
    return found


def _imported_as(code: OwnCode, modules: Mapping[str, Module]) -> str:
    alone = "." not in code.module and not modules[code.module].is_package
    return f"{ALIAS}{code.module.replace('.', '_')}" if alone else code.module


@contextmanager
def _importable(code: OwnCode, modules: Mapping[str, Module]) -> Iterator[None]:
    """In here ``modules`` are imported anew, and others of their folder are found.

    Afterwards ``modules`` alone are.
    """
    others = {name: module for name, module in modules.items() if name != code.module}
    wanted = {**others, _imported_as(code, modules): modules[code.module]}
    for name in wanted:
        sys.modules.pop(name, None)
    sys.meta_path[:] = [other for other in sys.meta_path if getattr(other, "code", None) != code]
    finder = _Finder(code, wanted)
    sys.meta_path.insert(0, finder)
    sys.path.insert(0, str(code.root))
    try:
        yield
    finally:
        sys.path.remove(str(code.root))
        sys.meta_path.remove(finder)
        sys.meta_path.append(finder)  # for what is only imported when the network is used


class _Finder(MetaPathFinder):
    """Finds the modules of some code, with the source that was read of them."""

    def __init__(self, code: OwnCode, modules: Mapping[str, Module]) -> None:
        self.code = code
        self._modules = modules

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """How the module is loaded; None where it is not one of these, or holds no source."""
        module = self._modules.get(fullname)
        if module is None or module.file is None or module.file.suffix != ".py":
            return None
        spec = spec_from_loader(
            fullname, _Source(module), origin=str(module.file), is_package=module.is_package
        )
        if spec is not None and module.is_package:
            spec.submodule_search_locations = [str(module.file.parent)]
        return spec


class _Source(InspectLoader):
    """Runs a module from its source in memory: compiled files beside it may be of an older one."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        """The source, as inspect and tracebacks ask for it."""
        return self._module.source.decode("utf-8", "replace")

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        """The source, compiled."""
        return compile(self._module.source, str(self._module.file), "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        module.__file__ = str(self._module.file)
        super().exec_module(module)


def _overlooked(code: OwnCode, modules: Mapping[str, Module], before: set[str]) -> tuple[str, ...]:
    """Modules below the code's folder, imported since ``before``, that are not among ``modules``."""
    if is_installed(code):
        return ()
    found = []
    for name in sorted(set(sys.modules) - before - set(modules)):
        file = getattr(sys.modules[name], "__file__", None)
        own = (
            file is not None
            and Path(file).is_relative_to(code.root)
            and not INSTALLED & set(Path(file).parts)
        )
        if own and not name.startswith(ALIAS):
            found.append(name)
    return tuple(found)


@contextmanager
def _said_plainly(code: OwnCode, what: str) -> Iterator[None]:
    """An error of the code in here becomes a ModelError with its line; what it prints goes to stderr."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 (code of a stranger fails in every way)
        raise ModelError(
            f"{code.module}:{code.name} {what}: {type(error).__name__}: {error}{_line(error, code)}"
        ) from None


def _line(error: BaseException, code: OwnCode) -> str:
    """The last line of the code's own that ``error`` came through."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(code.root)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def call(code: OwnCode, make: Callable[..., object], options: Mapping[str, object]) -> object:
    """What ``make`` gives for ``options``. Raises ModelError if it fails."""
    with _said_plainly(code, "fails"):
        return make(**options)
