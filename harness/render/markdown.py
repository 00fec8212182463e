"""The report as Markdown: plain tables, no HTML, readable as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.render import _release
from harness.render._sections import document
from harness.render._templates import fill

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.records import Release, Report

FILE_NAME = "report.md"


def render(report: Report, *, folder: Path) -> str:
    """Text of the report; pictures are left out, so ``folder`` is not read."""
    del folder
    return fill("report.md.j2", document=document(report)).rstrip() + "\n"


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """Text of the report of a release, without the values of every pair; ``folders`` are not read."""
    del folders
    found = _release.document(release, FILE_NAME, places={}, details=False)
    return fill("report.md.j2", document=found).rstrip() + "\n"
