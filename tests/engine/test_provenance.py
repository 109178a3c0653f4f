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
    for change in (
        "echo two > bench/a.py",
        "mv bench/a.py bench/c.py",
        "mkdir adapters/deep && touch adapters/deep/d.py",
    ):
        subprocess.run(["sh", "-c", change], cwd=checkout, check=True)
        assert provenance.code() not in seen
        seen.append(provenance.code())


def in_git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def test_the_user_s_repository_is_named_by_its_commit_and_changed_files(tmp_path: Path) -> None:
    own, results = tmp_path / "own", tmp_path / "own" / "runs"
    assert provenance.repository(tmp_path, results) is None
    (own / "suites").mkdir(parents=True)
    (results / "reference").mkdir(parents=True)
    for file in ("suites/mine.yaml", "model.py", "runs/reference/mine.json"):
        (own / file).write_text("one")
    in_git(own, "init", "-q")
    in_git(own, "add", ".")
    in_git(own, "commit", "-qm", "first")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=own, capture_output=True, text=True, check=True
    ).stdout.strip()
    clean = {"commit": head, "dirty": False}
    assert provenance.repository(own / "suites", results) == clean
    (own / "new.txt").write_text("git does not know it")
    (own / "runs/reference/mine.json").write_text("what a run writes")
    assert provenance.repository(own / "suites", results) == clean
    (own / "model.py").write_text("two")
    for elsewhere in (results, tmp_path / "r", own):
        assert provenance.repository(own / "suites", elsewhere) == {"commit": head, "dirty": True}


def test_the_project_s_own_checkout_is_no_repository_of_a_user(checkout: Path) -> None:
    assert provenance.repository(checkout / "bench", checkout / "results") is None
    assert provenance._own_git("rev-parse", "HEAD") is not None


def test_an_installation_inside_of_a_repository_has_no_commit_of_its_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv" / "lib" / "site-packages" / "bench" / "engine"
    installed.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(installed / "provenance.py"))
    assert provenance._own_git("rev-parse", "HEAD") is None
    assert provenance._is_dirty() is False
    found = provenance.repository(checkout, checkout / "results")
    assert found is not None
    assert found["dirty"] is False
