"""The report as one page that opens offline: no scripts, nothing fetched, pictures embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.render import _pictures
from harness.render._sections import document
from harness.render._templates import fill

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Report

FILE_NAME = "index.html"


def render(report: Report, *, folder: Path) -> str:
    """The page; pictures are read below ``folder``, and links assume that the page lies one folder below it."""
    return fill("index.html.j2", document=document(report), groups=_pictures.groups(report, folder))
