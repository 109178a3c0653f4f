"""The report in a browser, as wide as a phone and as a desk: nothing sticks out, and tables sort."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.render.report import to_html
from bench.scoring.score import score
from bench.store import StoredRun
from tests.builders.scene import Scene, store_scene

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
LONG = "lora-" + "r8_alpha16_on_every_layer_" * 4
TOLD = "parent.postMessage(JSON.stringify(%s), '*')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run of which one model has a long name."""
    models = {"base": Scene().models["base"], LONG: Scene().models["lora"]}
    run = StoredRun(store_scene(tmp_path_factory.mktemp("browser"), Scene(models=models)))
    return to_html(score(run), run.header, None)


def browse(folder: Path, *options: str) -> str:
    """What Chromium prints for ``options``."""
    plain = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder}/u",
    )
    command = [str(BROWSER), *plain, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def told(folder: Path, page: str, width: int, script: str) -> str:
    """What the JavaScript ``script`` gives at the end of ``page``, which is ``width`` pixels wide."""
    (folder / "report.html").write_text(page.replace("</body>", f"<script>{TOLD % script}</script></body>"))
    listen = "onmessage = e => { document.body.dataset.told = e.data }"
    frame = (
        f'<script>{listen}</script><iframe src="report.html"'
        f' style="width:{width}px;height:900px;border:0"></iframe>'
    )
    (folder / "frame.html").write_text(f"<!DOCTYPE html><body>{frame}</body>")
    size, soon = "--window-size=1400,1000", "--virtual-time-budget=3000"
    shown = browse(folder, size, soon, "--dump-dom", (folder / "frame.html").as_uri())
    found = re.search(r'data-told="([^"]*)"', shown)
    assert found, shown
    return html.unescape(found[1])


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_sticks_out_of_the_page(page: str, tmp_path: Path, width: int) -> None:
    wide = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, pre, svg') && "
    wide += "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    found = told(
        tmp_path, page, width, f"[innerWidth, document.documentElement.scrollWidth <= innerWidth, {wide}]"
    )
    assert found == f"[{width},true,[]]"


def test_on_a_phone_no_table_has_to_be_pushed_sideways(page: str, tmp_path: Path) -> None:
    """Each row is a block whose cells say what they are: the first names it, the others have headings."""
    folded = "document.querySelectorAll('details').forEach(d => d.open = true)"
    cut = (
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e =>"
        " e.ariaLabel)"
    )
    said = "[...document.querySelectorAll('[aria-label=Models] tbody tr:first-child td')].map(e => "
    said += "getComputedStyle(e, '::before').content)"
    found = json.loads(told(tmp_path, page, 400, f"({folded}, [{cut}, {said}])"))
    names = [
        "rank",
        "adaptation",
        "trained parameters",
        "clean accuracy, % [95 %]",
        "robust accuracy, % [95 %]",
        "certainty",
    ]
    assert found == [[], ["none", *(f'"{name}"' for name in names)]]


def test_tables_sort_by_their_headings(page: str, tmp_path: Path) -> None:
    """Fractions by what they are worth; rising, falling, as they were; what is no number is always last."""
    script = """(() => {
      const table = document.querySelector('[aria-label="Attack success rate"] table'),
head = table.tHead.rows[0].cells[1];
      const eps = () => [...table.tBodies[0].rows].map(r =>
r.cells[1].textContent.replace('/255', '')).join(' ');
      table.tBodies[0].rows[0].cells[1].textContent = '1/2';
      table.tBodies[0].rows[3].cells[1].textContent = '\u2013';
      const seen = [eps()];
      for (let i = 0; i < 3; i++) { head.querySelector('button').click();
seen.push(head.getAttribute('aria-sort'), eps()); }
      return seen;
    })()"""
    as_it_was, rising, falling = "1/2 16 32 \u2013 16 32", "16 16 32 32 1/2 \u2013", "1/2 32 32 16 16 \u2013"
    wanted = [as_it_was, "ascending", rising, "descending", falling, None, as_it_was]
    assert json.loads(told(tmp_path, page, 1280, script)) == wanted


def test_headings_are_buttons_that_a_keyboard_reaches(page: str, tmp_path: Path) -> None:
    script = """(() => {
      const head = document.querySelector('[aria-label="Models"] thead th'),
button = head.querySelector('button');
      button.focus();
      return [document.activeElement === button, button.type, button.textContent,
              document.querySelectorAll('thead th').length ===
document.querySelectorAll('thead th > button').length];
    })()"""
    assert json.loads(told(tmp_path, page, 1280, script)) == [True, "button", "model", True]


def test_on_paper_headings_repeat_nothing_is_cut_and_all_is_dark_on_light(page: str, tmp_path: Path) -> None:
    """Printed by somebody whose screens are dark; one table is made long enough for several pages."""
    pdfium = pytest.importorskip("pypdfium2")
    start = page.index("<tbody>", page.index('aria-label="Attack success rate"'))
    rows = page[start : page.index("</tbody>", start)].removeprefix("<tbody>")
    (tmp_path / "long.html").write_text(page.replace(rows, rows * 20))
    dark = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0", "--no-pdf-header-footer")
    browse(tmp_path, *dark, f"--print-to-pdf={tmp_path}/long.pdf", (tmp_path / "long.html").as_uri())
    headed = []
    with pdfium.PdfDocument(tmp_path / "long.pdf") as pdf:
        for sheet in pdf:
            text = sheet.get_textpage()
            if (said := text.get_text_range()).count("32/255") > 10:
                headed.append(re.search(r"attack\s+eps\s+base", said) is not None)
            right = max(text.get_rect(i)[2] for i in range(text.count_rects()))
            assert right <= sheet.get_width() - 10, "nothing is cut at the edge"
            assert sheet.render().to_numpy()[:20].min() == 255, "the paper is white"
    assert len(headed) > 1
    assert all(headed)
