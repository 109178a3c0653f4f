"""The house keeps its shape: what may import what, and no circle of imports, not even one for types alone."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ("adapters", "bench")
    for path in (ROOT / room).rglob("*.py")
}


def imported(path: Path) -> Iterator[str]:
    """The modules that the file at ``path`` imports, wherever in it; a package is meant only where no
    module of it is."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import"
            inside = [
                name for name in (f"{node.module}.{name.name}" for name in node.names) if name in MODULES
            ]
            yield from inside
            if len(inside) < len(node.names):
                yield node.module


def test_no_module_needs_itself() -> None:
    graph = {
        name: {other for other in imported(path) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    assert len(graph) > 100
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


GUESTS = {("adapters.defences.via_art", "art")}
"""What a room lets in at one door alone: ART's preprocessors are defences that people use."""


@pytest.mark.parametrize(
    ("room", "strangers"),
    [
        ("adapters", {"bench", "foolbox", "art"}),
        ("bench.scoring", {"torch", "foolbox", "art", "adapters"}),
        ("bench.comparison", {"torch", "foolbox", "art"}),
        ("bench.render", {"torch", "foolbox", "art", "scipy"}),
        ("bench.store", {"torch", "foolbox", "art"}),
    ],
)
def test_rooms_keep_to_themselves(room: str, strangers: set[str]) -> None:
    files = {name: path for name, path in MODULES.items() if f"{name}.".startswith(f"{room}.")}
    assert files
    met = {(name, other.split(".")[0]) for name, path in files.items() for other in imported(path)}
    assert not {(name, other) for name, other in met if other in strangers} - GUESTS
