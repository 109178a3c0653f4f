"""Attacked samples in the report: what they are taken for, and pictures that lie in the page itself."""

import io
import json
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import bench
from bench.render.report import to_html
from bench.scoring.strips import Shown, shown_samples
from bench.text import number
from tests.builders.linear import linear_classifier, linear_samples
from tests.render.test_browser import BROWSER, told
from tests.render.test_report import TAGS, Page

HOSTILE = '<img src="//evil.example" onerror=alert(1)>'


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> bench.Result:
    """A run of which the class that most samples are taken for has a hostile name."""
    samples, network = linear_samples(), linear_classifier().network
    assert isinstance(network, nn.Module)
    return bench.evaluate(
        network, samples.x, samples.labels, attacks=["fgsm"], eps=["16/255"], classes=["low", HOSTILE],
        trust="off", results=tmp_path_factory.mktemp("samples"), workers=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(result: bench.Result) -> list[Shown]:
    return list(shown_samples(result.run))


def test_the_report_shows_the_samples_and_what_they_are_taken_for(
    result: bench.Result, shown: list[Shown], tmp_path: Path
) -> None:
    text = result.report(tmp_path / "r.html").read_text()
    inline = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    pictures = [np.array(Image.open(io.BytesIO(b64decode(data)))) for data in inline]
    wanted = [pixels for one in shown for pixels in (one.clean, one.adversarial, one.difference)]
    assert len(wanted) == 6
    for found, pixels in zip(pictures, wanted, strict=True):
        np.testing.assert_array_equal(found, pixels)
    words = Page(text).words
    for one in shown:
        assert f"fgsm, foolbox: {one.which} sample, {one.sample}" in words
        assert f"predicted: {one.before.predicted} ({number(one.before.prob)})" in words
        assert f"predicted: {one.after.predicted} ({number(one.after.prob)})" in words
        assert (f"true: {one.label} ({number(one.after.prob_true)})" in words) == (
            one.after.predicted != one.label
        )
        assert f"× {one.factor:.3g}" in words
    assert words.count("× 7.97") == 2, "half of 255/16"


def test_pictures_lie_in_the_page_and_names_stay_text(result: bench.Result, tmp_path: Path) -> None:
    text = result.report(tmp_path / "r.html").read_text()
    page = Page(text)
    assert not page.open
    assert all(asked.startswith("img data:image/png;base64,") for asked in page.asks)
    assert page.tags.count("img") == len(page.asks) == 6
    assert set(page.tags) <= TAGS | {"img", "b"}
    assert re.findall(r"img-src [^;\"]*", text) == ["img-src data:"]
    assert any(HOSTILE in word for word in page.words)


def test_a_run_without_pictures_has_the_report_that_it_had(result: bench.Result) -> None:
    text = to_html(result.card, result.run.header, None)
    assert "img" not in Page(text).tags
    assert "img-src" not in text
    assert "What attacked samples look like" not in text
    assert "What attacked samples look like at eps 16/255" in to_html(
        result.card, result.run.header, None, shown_samples(result.run)
    )


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
@pytest.mark.parametrize(("width", "abreast"), [(400, 1), (1280, 2)])
def test_a_browser_draws_the_very_pixels_and_asks_for_nothing(
    result: bench.Result, tmp_path: Path, width: int, abreast: int
) -> None:
    page = result.report(tmp_path / "r.html").read_text()
    drawn = (
        "[...document.images].map(e => [e.naturalWidth, e.naturalHeight, getComputedStyle(e).imageRendering, "
    )
    drawn += "e.width > 90, e.getBoundingClientRect().right <= innerWidth].join(' '))"
    strips = "new Set([...document.querySelectorAll('.strip')].map(e => e.getBoundingClientRect().left)).size"
    asked = "performance.getEntriesByType('resource').map(e => e.name)"
    found = json.loads(told(tmp_path, page, width, f"[{drawn}, {strips}, {asked}]"))
    assert found == [["2 2 pixelated true true"] * 6, abreast, []]
