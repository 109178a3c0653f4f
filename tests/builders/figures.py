"""The figures of long tests: collected as they are measured, shown together at the end of the session."""

from collections.abc import Callable

import pytest

Figure = Callable[[str], None]
"""Takes one line, which begins with the number of the point that it is about."""
FIGURES = pytest.StashKey[list[str]]()
