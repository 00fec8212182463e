"""The page of a CI step gets every scenario's summary, and stays small enough to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness import plugins, store
from harness.jobs import check
from harness.jobs.report import write_report
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

MEBIBYTE = 1 << 20


@pytest.mark.slow
def test_a_failed_check_has_written_all_reports_and_the_page_of_the_step(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# before\n", encoding="utf-8")
    ended = run_harness("check", write_scenario(model={"adapter": "planted-killed"}), GITHUB_STEP_SUMMARY=str(page))
    assert ended.code == 3
    names = {"report.md", "index.html", "report.json", "junit.xml", "metrics.csv", "summary.md"}
    assert {path.name for path in (only_job() / "report").iterdir()} == names
    summary = (only_job() / "report" / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# ERROR: small")
    assert page.read_text(encoding="utf-8") == f"# before\n{summary}\n"


def made_summary(folder: Path) -> str:
    report = sample_reports.unstable(folder)
    (path,) = write_report(report, folder, folder / store.REPORT_FOLDER, ["summary"])
    return path.read_text(encoding="utf-8")


def test_a_page_without_room_gets_a_line_and_a_full_one_nothing(tmp_path: Path) -> None:
    report, whole = sample_reports.unstable(tmp_path), made_summary(tmp_path)
    page = tmp_path / "page.md"
    check._add_to_step_summary(page, tmp_path, report)
    assert page.read_text(encoding="utf-8") == f"{whole}\n"

    page.write_text("x" * (MEBIBYTE - 10_000), encoding="utf-8")
    check._add_to_step_summary(page, tmp_path, report)
    added = page.read_text(encoding="utf-8").lstrip("x")
    assert added == f"**UNSTABLE: deepgen-t2i**, see the report in {tmp_path.name}\n\n"

    page.write_text("x" * (MEBIBYTE - 10), encoding="utf-8")
    check._add_to_step_summary(page, tmp_path, report)
    assert page.stat().st_size == MEBIBYTE - 10


def test_the_largest_summary_fits_on_an_empty_page() -> None:
    most = plugins.load("render", "summary").MOST_BYTES  # type: ignore[attr-defined]
    assert most < check._STEP_SUMMARY_BYTES - check._LINES_BYTES
