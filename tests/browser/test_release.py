"""The report of a release as Chromium shows it: the matrix, its links, both languages, every sign."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.language import languages
from tests.browser.complaints import CUT, UNDECODED, WIDTHS, WITHOUT_GLYPH, complaints
from tests.render.test_golden import made

if TYPE_CHECKING:
    from tests.browser.chromium import Chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the stored release, in both languages."""
    folder = tmp_path_factory.mktemp("release") / "report"
    made(folder)
    return folder


@pytest.fixture(params=languages())
def page(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The page in each language."""
    return folder / {"en": "index.html", "zh": "index.zh.html"}[request.param]


def test_the_page_fits_its_window_fetches_nothing_and_logs_nothing(browser: Chromium, page: Path) -> None:
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            browser.open(page, width=width, prefers_color_scheme=scheme)
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value(CUT) == []
            assert complaints(browser, page) == []
    assert browser.value(UNDECODED) == []


SCREENS = {1280: (900, 6), 390: (844, 12)}
"""Heights of the windows, and how many of them a page is high at most while everything that can be folded is."""
EXAMPLE = Path(__file__).parents[2] / "reports" / "example"


@pytest.mark.parametrize("name", ["index.html", "index.zh.html"])
def test_the_example_is_short_and_the_four_answers_are_on_its_first_screen(name: str, browser: Chromium) -> None:
    for width, (height, screens) in SCREENS.items():
        browser.open(EXAMPLE / name, width=width, height=height)
        assert browser.value("document.documentElement.scrollHeight") <= screens * height, width
        assert browser.value("document.querySelectorAll('.answers > div').length") == 4
        assert browser.value("document.querySelector('.answers').getBoundingClientRect().bottom") <= height, width
        browser.value("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert browser.value("document.documentElement.scrollHeight") > screens * height, "folds hide what is long"


def test_what_is_missing_is_red_in_the_matrix(browser: Chromium, page: Path) -> None:
    browser.open(page)
    words = {"index.html": "MISSING", "index.zh.html": "缺失"}[page.name]
    found = browser.value("[...document.querySelectorAll('#matrix td .chip.bad')].map(each => each.textContent)")
    assert sum(words in each for each in found) >= 3


def test_a_cell_of_the_matrix_leads_to_its_case(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser.value("document.querySelector('#matrix td a[href^=\"#\"]').click()")
    assert browser.value("document.querySelector(location.hash)?.classList.contains('case')") is True


def test_every_language_leads_to_the_other(browser: Chromium, folder: Path) -> None:
    for name, other in (("index.html", "index.zh.html"), ("index.zh.html", "index.html")):
        browser.open(folder / name)
        assert browser.value("[...document.querySelectorAll('.languages a')].map(each => each.pathname)") == [
            str(folder / other)
        ]


@pytest.mark.skipif(
    not shutil.which("fc-list")
    or not subprocess.run(["fc-list", ":lang=zh", "file"], capture_output=True, check=False).stdout,
    reason="there is no font with Chinese signs; on Debian: apt-get install fonts-noto-cjk",
)
def test_there_is_a_glyph_for_every_sign(browser: Chromium, page: Path) -> None:
    browser.open(page)
    assert browser.value(WITHOUT_GLYPH) == []
    browser.value("document.querySelector('h1').append('\\ue123')")
    assert browser.value(WITHOUT_GLYPH) == ["\ue123"]
