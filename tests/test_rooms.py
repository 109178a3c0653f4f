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


def room(module: str) -> str:
    """The package that ``module`` is in; empty for the words that all rooms use, and the doors."""
    name = ".".join(module.split(".")[:2])
    return name if name in MODULES and MODULES[name].name == "__init__.py" and "." in name else ""


def test_rooms_lie_on_floors_with_few_arrows_between_them() -> None:
    arrows = {
        (room(name), room(other))
        for name, path in MODULES.items()
        for other in imported(path)
        if other in MODULES and room(name) and room(other) and room(name) != room(other)
    }
    below: dict[str, set[str]] = {}
    for one, other in arrows:
        below.setdefault(one, set()).add(other)
    floors: dict[str, int] = {}
    for name in TopologicalSorter(below).static_order():  # raises CycleError, which names the circle
        floors[name] = 1 + max((floors[other] for other in below.get(name, ())), default=0)
    assert len(floors) == len(set(map(room, MODULES)) - {""}) <= 20
    assert max(floors.values()) <= 12
    assert len(arrows) <= 90


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
