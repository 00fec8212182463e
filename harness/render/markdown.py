"""The report as Markdown: plain tables, no HTML, readable as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.render._sections import document
from harness.render._templates import fill

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Report

FILE_NAME = "report.md"


def render(report: Report, *, folder: Path) -> str:
    """Text of the report; pictures are left out, so ``folder`` is not read."""
    del folder
    return fill("report.md.j2", document=document(report)).rstrip() + "\n"
