"""The summary of a CI step: totals, failures first, and never more than CI systems take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.records import EXIT_CODES, Scope, Status
from harness.render import summary
from harness.render._cases import judged_cases
from tests.render import sample_reports
from tests.render.readers import markdown_tables, outside_fences, rendered

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Report

MEBIBYTE = 1 << 20


@pytest.fixture(params=list(sample_reports.BUILDERS))
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Report, Path]:
    return sample_reports.BUILDERS[request.param](tmp_path), tmp_path


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def test_failures_are_counted_and_come_before_what_passed(tmp_path: Path) -> None:
    text = rendered("summary", sample_reports.unstable(tmp_path), tmp_path)
    assert headings(text) == ["# UNSTABLE: Determinism and accuracy of DeepGen-1.0", "## Failures", "## Passed"]
    assert "1 of 2 checks passed: 1 unstable, 1 identical." in text
    failures, passes = markdown_tables(text)
    assert failures[2][:3] == ["**UNSTABLE**", "candidate, repeat", "glove, seed 42"]
    assert failures[2][3].startswith("2 (4 + 2) distinct outcomes in 6 runs")
    assert passes[2][:3] == ["identical", "candidate, repeat", "pizza, seed 42"]


def test_the_first_line_says_how_it_ended_and_every_table_is_whole(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    text = rendered("summary", report, folder)
    assert text.startswith(f"# {report.outcome.value.replace('_', ' ').upper()}: ")
    assert all(len(row) == 4 and all(row) for table in markdown_tables(text) for row in table)


def test_there_are_failures_exactly_when_the_report_is_no_pass(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    text = rendered("summary", report, folder)
    assert ("## Failures" in text) == (EXIT_CODES[report.outcome] != 0 and report.outcome is not Status.SKIPPED)
    assert ("## Not judged" in text) == ("**SKIPPED**" in text)


def test_a_row_tells_its_own_value_and_limit_and_nothing_of_another_row(sample: tuple[Report, Path]) -> None:
    report, _ = sample
    for comparison in report.comparisons:
        rows = [row for row in judged_cases(comparison) if row.key is not None]
        for row in rows:
            others = [str(other.key) for other in rows if other.key != row.key]
            assert not [name for name in others if name in row.reason], row.reason


def test_a_passing_row_beside_a_broken_one_tells_what_it_measured(tmp_path: Path) -> None:
    (comparison,) = (
        comparison for comparison in sample_reports.drift(tmp_path).comparisons if comparison.scope is Scope.REFERENCE
    )
    passed, broken = sorted(judged_cases(comparison), key=lambda row: row.status is Status.DRIFT)
    assert EXIT_CODES[passed.status] == 0
    assert "0.9312" in broken.reason
    assert "0.9312" not in passed.reason
    assert passed.reason == "ssim_tile_min at least 0.98, measured 1"


@pytest.mark.parametrize("status", list(Status))
def test_every_word_is_in_the_right_section(status: Status, tmp_path: Path) -> None:
    text = rendered("summary", sample_reports.with_outcome(tmp_path, status), tmp_path)
    assert ("## Failures" in text) == (EXIT_CODES[status] != 0 and status is not Status.SKIPPED)
    assert ("## Not judged" in text) == (status is Status.SKIPPED)


def test_simulated_devices_are_marked(tmp_path: Path) -> None:
    assert "SIMULATED" in rendered("summary", sample_reports.simulated(tmp_path), tmp_path)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    text = rendered("summary", sample_reports.hostile(tmp_path), tmp_path)
    assert not [line for line in outside_fences(text) if "<script" in line or line.startswith("![")]


def test_a_summary_is_cut_below_one_mebibyte_and_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert summary.MOST_BYTES < MEBIBYTE
    whole = rendered("summary", sample_reports.many(tmp_path, 200), tmp_path)
    assert "left out" not in whole
    monkeypatch.setattr(summary, "MOST_BYTES", 5_000)
    text = rendered("summary", sample_reports.many(tmp_path, 200), tmp_path)
    assert len(text.encode()) <= 5_000
    (table,) = markdown_tables(text)
    shown = len(table) - 2
    assert 0 < shown < 200
    assert (
        f"{200 - shown} rows of 200 left out for want of room; junit.xml and index.html of this job have all." in text
    )


def test_failures_are_cut_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = sample_reports.unstable(tmp_path)
    whole = len(rendered("summary", report, tmp_path).encode())
    monkeypatch.setattr(summary, "MOST_BYTES", whole + summary._RESERVE_BYTES - 150)
    text = rendered("summary", report, tmp_path)
    assert "glove, seed 42" in text.partition("## Passed")[0]
    assert "1 row of 1 left out" in text


def test_a_real_summary_of_very_many_cases_is_small_enough(tmp_path: Path) -> None:
    report = sample_reports.many(tmp_path, 20)
    (compared,) = report.comparisons
    repetitions = [
        each.model_copy(update={"key": each.key.model_copy(update={"seed": seed})})
        for seed in range(1000)
        for each in compared.repetitions
    ]
    large = report.model_copy(
        update={"comparisons": [compared.model_copy(update={"repetitions": repetitions, "pairs": []})]}
    )
    text = rendered("summary", large, tmp_path)
    assert MEBIBYTE / 2 < len(text.encode()) < MEBIBYTE
    assert "20000 of 20000 checks passed: 20000 identical." in text
    assert " left out for want of room" in text
