"""What a run says of the code that made it."""

import subprocess
from pathlib import Path

import pytest

from bench.engine import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of another project with the same folders, all committed."""
    for name in ("bench/a.py", "adapters/b.py", "results/reference/suite.json", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "bench" / "engine" / "provenance.py"))
    return tmp_path


@pytest.mark.parametrize(("file", "dirty"), [
    ("bench/a.py", True), ("README.md", True), ("bench/deep/new.py", True), ("adapters/with space.py", True),
    ("results/reference/suite.json", False), ("results/suite/run.json", False), ("suites/mine.yaml", False),
])  # fmt: skip
def test_dirty_is_what_can_have_changed_the_code(file: str, dirty: bool, checkout: Path) -> None:
    assert provenance._is_dirty() is False
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    (checkout / file).write_text("two")
    assert provenance._is_dirty() is dirty


def test_the_code_s_hash_is_that_of_all_modules(checkout: Path) -> None:
    seen = [provenance.code()]
    (checkout / "README.md").write_text("two")
    assert provenance.code() == seen[0]
    for change in ("echo two > bench/a.py", "mv bench/a.py bench/c.py", "mkdir adapters/deep && touch adapters/deep/d.py"):
        subprocess.run(["sh", "-c", change], cwd=checkout, check=True)
        assert provenance.code() not in seen
        seen.append(provenance.code())
