"""A run folder from a stranger: whatever it calls things, they come out as text, wherever they are shown."""

import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench import render
from bench.cli.commands import main
from bench.cli.github import annotations, write_summary
from bench.comparison.compare import compare
from bench.comparison.runs import find_pair
from bench.errors import UserError
from bench.render.output import show, write
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard
from bench.store import StoredRun, open_run
from bench.store.checksum import from_json, to_json
from tests.builders.scene import BROKEN, Scene, scene_samples, store_scene
from tests.store.test_storage import header
from tests.torture.tiny import SUITE

NAMES = {
    "path": "../../x",
    "absolute": "/etc/passwd",
    "html": "<script>alert(1)</script>\" onmouseover='x' <img src=x onerror=alert(1)>",
    "rich": "[red]x[/red][/] [link=http://e]y[/link]",
    "markdown": "[x](http://e) ![y](http://e) | `z`",
    "formula": "=cmd|' C calc'!A0",
    "at": "@SUM(1+1)",
    "terminal": "\x1b[31mred\x1b]0;owned\x07 a\x00b\x08c\rd\x9b31me",
    "direction": "x\u202egpj.exe\u200b",
    "lines": "x\n::error title=y::z",
    "template": "$\\frac{$ _x^ {{ 7*7 }}{% raw %}",
    "cdata": "]]><x/>&amp;",
}
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs whose samples carry all names."""
    results = tmp_path_factory.mktemp("runs") / "results"
    samples = replace(scene_samples(40), ids=tuple(f"{i}/{'/'.join(NAMES.values())}" for i in range(40)))
    for lora in (Scene().models["lora"], BROKEN):
        models = {"base": Scene().models["base"], "lora": lora}
        store_scene(results, Scene(models=models, samples=samples), failing="fgsm")
    return results


class Shop:
    """Two runs: the suite (where no path is in the way), a model, an attack and an error carry ``name``."""

    def __init__(self, folder: Path, runs: Path, name: str) -> None:
        self.name = name
        self.results = Path(shutil.copytree(runs, folder / "results"))
        self.first, self.second = sorted(file.parent for file in self.results.rglob("run.json"))
        for run in (self.first, self.second):
            data, _ = from_json((run / "run.json").read_bytes())
            data["suite_name"] = name if Path(name).name == name and "\0" not in name else "scene"
            data["suite"]["description"] = name
            for entry in data["models"] + data["cells"] + data["suite"]["models"]:
                for field in ("model", "attack", "error", "name"):
                    if entry.get(field) in ("lora", "pgd", "RuntimeError: planted"):
                        entry[field] = name
            (run / "run.json").write_bytes(to_json(data))

    @property
    def card(self) -> Scorecard:
        return score(StoredRun(self.first))


@pytest.fixture(scope="module", params=list(NAMES.values()), ids=list(NAMES))
def shop(request: pytest.FixtureRequest, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), runs, request.param)


def run_table(shop: Shop) -> None:
    show(lambda console: render.leaderboard(shop.card, console.width))


def compared(kind: str) -> Callable[[Shop], None]:
    def run(shop: Shop) -> None:
        assert main(["compare", str(shop.first), str(shop.second), "--all", "--format", kind]) in (0, 3, 4)

    return run


SHOWN: dict[str, Callable[[Shop], object]] = {
    "run table": run_table,
    "run csv": lambda shop: write(render.to_csv(shop.card)),
    "run md": lambda shop: write(render.to_markdown(shop.card)),
    "run json": lambda shop: write(render.to_json(shop.card)),
    "ranking": lambda shop: main(["compare", str(shop.first)]),
    "compare table": compared("table"),
    "compare csv": compared("csv"),
    "compare md": compared("md"),
    "compare json": compared("json"),
    "compare junit": compared("junit"),
}


def strings(value: object) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def assert_json(text: str, name: str) -> None:
    assert any(name in found for found in strings(json.loads(text))), "programs get the name as it is"


def assert_csv(text: str, _: str) -> None:
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or float(cell) <= 0


def assert_markdown(text: str, _: str) -> None:
    assert re.search(r"(?<!\\)</?[a-zA-Z]", text) is None, "no tag"
    assert re.search(r"(?<!\\)\]\(", text) is None, "no link, no picture"
    tables = [line for line in text.split("\n") if line.startswith("| ")]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert len(columns) <= 2, "a name adds no column"


def assert_junit(text: str, name: str) -> None:
    root = ET.fromstring(text)  # noqa: S314 (written by us)
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "system-out",
        "system-err",
    }  # fmt: skip
    if name.isprintable():
        assert any(name in value for element in root.iter() for value in element.attrib.values())


def assert_table(text: str, name: str) -> None:
    squeezed = re.sub(r"\s", "", text)
    if name.isprintable():
        assert re.sub(r"\s", "", name) in squeezed, "shown as it is"


CHECKS = {"json": assert_json, "csv": assert_csv, "md": assert_markdown, "junit": assert_junit}


@pytest.mark.parametrize("what", SHOWN)
def test_shown_as_text(
    what: str, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    before = sorted(shop.results.parent.parent.rglob("*"))
    SHOWN[what](shop)
    out, err = capsys.readouterr()
    assert STEERING.search(out + err) is None
    CHECKS.get(what.split()[-1], assert_table)(out, shop.name)
    assert "Traceback" not in err
    assert sorted(shop.results.parent.parent.rglob("*")) == before, "nothing is written"


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_in_html_and_figures(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert main(["report", str(shop.first), "-o", str(file)]) == 4
    text = file.read_text()
    assert STEERING.search(text) is None
    page = Page(text)
    assert not page.tags & {"img", "x", "iframe", "object", "embed", "link"}
    assert text.lower().count("<script") == 1, "its own, which sorts tables"
    assert not [name for name in page.attributes if name.startswith("on")]
    if shop.name.isprintable():
        assert shop.name in page.text
    assert main(["figures", str(shop.first), "-o", str(tmp_path / "figures")]) == 4
    assert {f.suffix for f in (tmp_path / "figures").iterdir()} == {".pdf", ".png", ".svg"}


def test_in_github_annotations_and_summary(shop: Shop, tmp_path: Path) -> None:
    verdict = compare(*find_pair(str(shop.first), str(shop.second), shop.results), gated=True)
    lines = list(annotations(verdict))
    assert lines
    assert all(line.startswith("::error title=") and len(line.splitlines()) == 1 for line in lines)
    write_summary(verdict, {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")})
    assert_markdown((tmp_path / "summary").read_text(), shop.name)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/b", "..", "", "a\0b"])
@pytest.mark.parametrize("field", ["suite_name", "key"])
def test_a_stored_name_that_is_a_path_is_refused(field: str, name: str, tmp_path: Path) -> None:
    run = open_run(tmp_path, header(), fresh=True).path
    data, _ = from_json((run / "run.json").read_bytes())
    (data if field == "suite_name" else data["cells"][0])[field] = name
    (run / "run.json").write_bytes(to_json(data))
    with pytest.raises(UserError, match=r"run\.json: is broken \(.* is not a file name\)"):
        StoredRun(run)


def test_a_plug_in_is_not_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are none: a suite holds data only, and every key that could name code is refused."""
    (tmp_path / "plug.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for key in ("plugins: [plug]", "plugin: plug.py", "import: plug", "module: plug"):
        (tmp_path / "x.yaml").write_text(SUITE + key + "\n")
        assert main(["run", "x.yaml"]) == 2
        assert f"unknown key '{key.split(':')[0]}'" in capsys.readouterr().err
    for old, new in (
        ("attack: fgsm", "attack: plug.Attack"),
        ("source: digits", "source: plug"),
        ("method: lora", "method: plug"),
    ):
        (tmp_path / "x.yaml").write_text(SUITE.replace(old, new))
        assert main(["run", "x.yaml"]) == 2
        assert "unknown value 'plug" in capsys.readouterr().err
    assert sorted(f.name for f in tmp_path.iterdir()) == ["plug.py", "x.yaml"]
