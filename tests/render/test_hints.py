"""Where a pair has hints, the readable reports show them; where none has, they say nothing of hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.records import Hint, Report, Scope
from tests.render import sample_reports
from tests.render.readers import readable, rendered, rows

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("name", ["html", "markdown"])
SHIFT = Hint(name="shift", message="looks like a shift by 1 px right: moved back it falls from 15.72 to 0.00")
PLACE = Hint(name="one-place", message="looks like damage in one place: 99 % in 8 x 8 px", where="x=8..15 y=0..7")
COLUMNS = ["Case", "Seed", "Pair", "Looks like", "Where"]


def hinted(report: Report, scope: Scope, *hints: Hint) -> Report:
    """The report with hints on every differing pair of one scope."""
    comparisons = [
        each.model_copy(
            update={
                "pairs": [
                    pair.model_copy(update={"hints": [] if pair.identical or each.scope is not scope else list(hints)})
                    for pair in each.pairs
                ]
            }
        )
        for each in report.comparisons
    ]
    return report.model_copy(update={"comparisons": comparisons})


def shown(name: str, report: Report, folder: Path) -> list[list[str]]:
    """Rows of hints: what stands under the heading that only they have."""
    found = rows(name, rendered(name, report, folder).replace("\\", ""))
    return [row for row in found if len(row) == len(COLUMNS) and row[3] in {"Looks like", *map(said, (SHIFT, PLACE))}]


def said(hint: Hint) -> str:
    return hint.message.removeprefix("looks like ")


@BOTH
def test_a_pair_with_hints_has_a_row_for_each(name: str, tmp_path: Path) -> None:
    report = hinted(sample_reports.drift(tmp_path), Scope.REFERENCE, SHIFT, PLACE)
    heading, first, second, *_ = shown(name, report, tmp_path)
    assert heading == COLUMNS
    assert first[2].startswith("p0r0 against p0r0")
    assert (first[3], first[4]) == (said(SHIFT), "the whole picture")
    assert (second[3], second[4]) == (said(PLACE), "x=8..15 y=0..7")
    assert first[:3] == second[:3]
    assert "no verdict rests on them" in readable(name, rendered(name, report, tmp_path))


@BOTH
def test_repeats_with_equal_numbers_share_a_row(name: str, tmp_path: Path) -> None:
    report = hinted(sample_reports.unstable(tmp_path), Scope.REPEAT, SHIFT)
    found = shown(name, report, tmp_path)
    differing = [pair for each in report.comparisons for pair in each.pairs if pair.hints]
    assert found[0] == COLUMNS
    assert 1 < len(found) < 1 + len(differing)
    assert all("alike" in row[2] for row in found[1:])


@BOTH
@pytest.mark.parametrize("outcome", ["identical", "unstable", "drift"])
def test_without_hints_nothing_is_said_of_them(name: str, outcome: str, tmp_path: Path) -> None:
    report = sample_reports.BUILDERS[outcome](tmp_path)
    assert shown(name, report, tmp_path) == []
    assert "what the differences look like" not in readable(name, rendered(name, report, tmp_path))


@BOTH
def test_a_hint_from_outside_is_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    hostile = Hint(name="x", message="looks like <script>alert(1)</script> | **bold**", where="<img src=x>")
    text = rendered(name, hinted(sample_reports.drift(tmp_path), Scope.REFERENCE, hostile), tmp_path)
    assert "<script>alert(1)" not in text
    assert "<img src=x>" not in text
