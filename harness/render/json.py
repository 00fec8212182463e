"""The report as its own record: strict JSON, which ``records.from_json`` reads back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.records import Release, Report

FILE_NAME = "report.json"


def render(report: Report, *, folder: Path) -> str:
    """JSON of the whole report; pictures are named by digest and path, so ``folder`` is not read."""
    del folder
    return to_json(report)


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """JSON of the whole release; ``folders`` are not read."""
    del folders
    return to_json(release)
