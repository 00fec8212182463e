"""These tests need a Chromium: ``nox -s browser`` finds one, or ends with the reason why it cannot.

Where there is none, the folder is left out whole, and ``nox -s tests`` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import Chromium, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the folder out where no browser can be started."""
    del collection_path
    return None if program() else True


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests, with an empty profile."""
    started = Chromium(tmp_path_factory.mktemp("browser") / "profile")
    yield started
    started.end()
