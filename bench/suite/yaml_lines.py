"""YAML read safely, remembering the line of every key, with bounds on size, depth and aliases."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UserError, dotted

MAX_BYTES = 100_000
MAX_NODES = 20_000
"""Values a document may hold once aliases are expanded: far above any real suite, far below a YAML bomb."""
MAX_DEPTH = 50
MAX_DIGITS = 100
INTEGER = "tag:yaml.org,2002:int"

Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed file: plain data, and the line (from 1) of each key and list item; 0 if there is no file."""

    path: Path
    data: Any
    lines: dict[Loc, int]

    def locate(self, loc: Loc) -> tuple[str, str]:
        """("file:line", "dotted.path") of the deepest part of ``loc`` that the file has.

        Parts that pydantic puts between (the tag of a union) are left out.
        """
        known: Loc = ()
        for part in loc:
            known = (*known, part) if (*known, part) in self.lines else known
        line = self.lines.get(known, self.lines.get((), 1))
        return f"{self.path}:{line}" if line else str(self.path), dotted(known)


def without_file(data: Any, name: str) -> Document:
    """``data`` as a document that is called ``name`` in messages, which then say the place in it alone."""
    return Document(Path(name), data, dict.fromkeys(_places(data), 0))


def _places(data: Any, at: Loc = ()) -> Iterator[Loc]:
    """The place of everything in ``data``."""
    yield at
    items = (
        data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list | tuple) else ()
    )
    for key, value in items:
        yield from _places(value, (*at, key))


def read(path: Path) -> Document:
    """The YAML document in ``path``. Raises UserError if it cannot be read, is not YAML, or is too large."""
    text = _text(path)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _invalid(path, error) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}:1: not valid YAML: {error}") from None
    except RecursionError:
        raise UserError(f"{path}:1: nested too deeply") from None
    lines: dict[Loc, int] = {(): 1}
    if node is None:
        return Document(path, None, lines)
    _Walker(path, lines).walk(node, ())
    try:
        return Document(path, loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        raise _invalid(path, error) from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # What PyYAML raises for a value that is not of the type that its tag claims, as `!!int x`.
        raise UserError(f"{path}:1: not valid YAML: a value does not fit its tag ({error})") from None


def _invalid(path: Path, error: yaml.MarkedYAMLError) -> UserError:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return UserError(f"{path}:{line}: not valid YAML: {error.problem}")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes; a suite is a short text file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


class _Walker:
    """Visits every node as its aliases expand, noting lines; stops at MAX_NODES and at a key given twice."""

    def __init__(self, path: Path, lines: dict[Loc, int]) -> None:
        self.path = path
        self.lines = lines
        self.open: set[int] = set()
        self.visited = 0

    def walk(self, node: yaml.Node, loc: Loc) -> None:
        """Note the lines of ``node``'s children."""
        self.visited += 1
        if self.visited > MAX_NODES:
            raise UserError(f"{self.path}: more than {MAX_NODES:,} values once its aliases are expanded")
        if len(loc) > MAX_DEPTH:
            raise UserError(
                f"{self.path}:{node.start_mark.line + 1}: nested too deeply (more than {MAX_DEPTH} levels)"
            )
        if id(node) in self.open:
            raise UserError(f"{self.path}:{node.start_mark.line + 1}: this alias contains itself")
        self.open.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            self._scalar(node)
        elif isinstance(node, yaml.MappingNode):
            self._mapping(node, loc)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self._child(item, (*loc, i), item)
        self.open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> None:
        for key, value in node.value:
            self.walk(key, (*loc, "?"))
            child = (*loc, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            line = key.start_mark.line + 1
            if child in self.lines and self.lines[child] >= node.start_mark.line + 1:
                raise UserError(
                    f"{self.path}:{line}: key '{child[-1]}' is given twice (first on line"
                    f" {self.lines[child]})"
                )
            self._child(value, child, key)

    def _scalar(self, node: yaml.ScalarNode) -> None:
        where = f"{self.path}:{node.start_mark.line + 1}"
        if node.tag == INTEGER and len(node.value) > MAX_DIGITS:
            raise UserError(f"{where}: a number of {len(node.value):,} digits")
        if any("\ud800" <= c <= "\udfff" for c in node.value):
            raise UserError(f"{where}: holds half of a surrogate pair, which is not text")

    def _child(self, node: yaml.Node, loc: Loc, marked: yaml.Node) -> None:
        self.lines[loc] = marked.start_mark.line + 1
        self.walk(node, loc)
