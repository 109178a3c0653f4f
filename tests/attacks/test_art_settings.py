"""ART finds settings when it is imported: of processes that start together on a new machine, none meets
half of them."""

import json
from pathlib import Path

import pytest

from bench.attacks.art.settings import settle


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_new_machine_gets_what_art_would_write(home: Path) -> None:
    settle()
    assert json.loads((home / ".art/config.json").read_text()) == {"ART_DATA_PATH": str(home / ".art/data")}
    assert [file.name for file in (home / ".art").iterdir()] == ["config.json"]


def test_settings_that_are_there_stay(home: Path) -> None:
    (home / ".art").mkdir()
    (home / ".art/config.json").write_text('{"ART_DATA_PATH": "/elsewhere"}')
    settle()
    assert json.loads((home / ".art/config.json").read_text()) == {"ART_DATA_PATH": "/elsewhere"}


def test_where_nothing_can_be_written_art_is_left_to_say_so(home: Path) -> None:
    (home / ".art").write_text("a file, where a folder should be")
    settle()
    assert (home / ".art").is_file()
