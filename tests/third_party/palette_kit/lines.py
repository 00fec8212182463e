"""One line for each comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Report

FILE_NAME = "lines.txt"


def render(report: Report, *, folder: Path) -> str:
    """The lines."""
    return "".join(f"{say('none')} {found.actual.arm} {found.scope} {found.outcome}\n" for found in report.comparisons)
