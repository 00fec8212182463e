"""The page of a trend as Chromium shows it: it fits every window, fetches nothing, and its charts can be pointed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.jobs.trend import Sources, trend, write_page
from tests.browser.complaints import CUT, WIDTHS, complaints
from tests.test_trend import jobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.chromium import Chromium


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The page of three jobs, in both languages."""
    place = tmp_path_factory.mktemp("trend")
    jobs(place)
    made = trend("port", Sources(runs_folder=place / "runs", reports_folder=place / "reports"))
    return write_page(made, place / "out", ["en", "zh"])


@pytest.mark.parametrize("language", [0, 1])
def test_the_page_fits_its_window_fetches_nothing_and_logs_nothing(
    browser: Chromium, pages: list[Path], language: int
) -> None:
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            browser.open(pages[language], width=width, prefers_color_scheme=scheme)
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value(CUT) == []
            assert complaints(browser, pages[language]) == []


def test_every_point_of_a_chart_says_job_and_value(browser: Chromium, pages: list[Path]) -> None:
    browser.open(pages[0])
    words = browser.value("[...document.querySelectorAll('.chart circle title')].map(title => title.textContent)")
    assert len(words) >= 3
    assert all(": " in text and "_port" in text for text in words)
