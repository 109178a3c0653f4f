"""Tables of classes and numbers, as checkpoints and configurations keep them."""

from typing import Any


def numbered(table: Any) -> tuple[str, ...]:
    """The names of a table from names to numbers, or from numbers, also as text, to names."""
    if not isinstance(table, dict):
        return ()
    pairs = [(number, name) if isinstance(name, str) else (name, number) for number, name in table.items()]
    try:
        rows = {int(number): name for number, name in pairs}
    except (TypeError, ValueError):
        return ()
    names = [rows.get(i) for i in range(len(pairs))]
    return (
        tuple(name for name in names if isinstance(name, str))
        if all(isinstance(n, str) for n in names)
        else ()
    )
