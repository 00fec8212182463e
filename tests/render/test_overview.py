"""The first screens of a page: one line per arm, a row per judged limit, the worst break first, five lines of gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records import Frames, NoiseMode, OnPurpose, Status
from harness.render import _overview as overview
from harness.render._caveats import not_shown
from harness.render._document import Bullets, Listing, Paragraph, Table
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.records import Report
    from harness.render._document import Block


def table_of(blocks: Sequence[Block]) -> Table:
    (shown,) = (block for block in blocks if isinstance(block, Table))
    return shown


def texts(shown: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in shown.rows]


def built(folder: Path, *names: str) -> list[Report]:
    reports = []
    for name in names:
        (folder / name).mkdir()
        reports.append(sample_reports.BUILDERS[name](folder / name))
    return reports


def test_an_arm_has_one_line_over_all_reports_and_the_worst_word(tmp_path: Path) -> None:
    steady, unstable = built(tmp_path, "identical", "unstable")
    shown = table_of(overview.determinism([steady, steady, unstable]))
    count = shown.columns.index("Cases and seeds")
    lines = {row[0]: (row[1], int(row[count])) for row in texts(shown)}
    alone = {row[0]: (row[1], int(row[count])) for row in texts(table_of(overview.determinism([steady])))}
    assert len(lines) == len(texts(shown)), "an arm has one line"
    assert {word for word, _ in alone.values()} == {"identical"}
    assert "unstable" in {word for word, _ in lines.values()}
    assert all(lines[arm][1] >= 2 * cases for arm, (_, cases) in alone.items())


def test_every_judged_limit_has_a_row_with_its_worst_value_and_its_place(tmp_path: Path) -> None:
    (report,) = built(tmp_path, "within_limits")
    shown = table_of(overview.accuracy([report]))
    (comparison,) = report.comparisons
    assert shown.title == "candidate against cpu-fp32"
    assert {"Arms", "Scenario"}.isdisjoint(shown.columns)
    assert [row[1] for row in texts(shown)] == [limit.rule for limit in comparison.limits]
    assert texts(shown)[0] == ["within limits", "psnr_db at least 20", "40.06 dB", "pizza, seed 42", "2 of 2"]


def test_of_many_limits_each_comparison_shows_the_one_nearest_to_being_broken(tmp_path: Path) -> None:
    within, drift = built(tmp_path, "within_limits", "drift")
    every = table_of(overview.accuracy([within, drift]))
    many = table_of(overview.accuracy([within, drift] * 8))
    assert len(every.rows) <= 16 < 8 * len(every.rows)
    assert len(many.rows) == 16
    assert [row[2] for row in texts(many)[:2]] == ["psnr_db at least 20", "ssim_tile_min at least 0.98"]
    assert many.note.endswith(f"{8 * len(every.rows) - 16} more are below.")
    assert every.note == ""


def test_where_nothing_judges_the_row_says_the_outcome_alone(tmp_path: Path) -> None:
    apart, alone = built(tmp_path, "not_comparable", "nothing_compared")
    assert [row[1:] for row in texts(table_of(overview.accuracy([apart])))] == [["–"] * 4]  # noqa: RUF001
    (paragraph,) = overview.accuracy([alone])
    assert isinstance(paragraph, Paragraph)


def test_several_scenarios_and_several_arms_are_named_in_each_row(tmp_path: Path) -> None:
    within, drift = built(tmp_path, "within_limits", "drift")
    assert table_of(overview.accuracy([within, drift])).columns[0] == "Scenario"
    (comparison,) = within.comparisons
    other = comparison.model_copy(update={"expected": comparison.expected.model_copy(update={"arm": "gpu"})})
    both = within.model_copy(update={"comparisons": [comparison, other]})
    shown = table_of(overview.accuracy([both]))
    assert shown.columns[0] == "Arms"
    assert {row[0] for row in texts(shown)} == {"candidate against cpu-fp32", "candidate against gpu"}


def test_the_pair_that_is_farthest_beyond_its_limit_is_named_first(tmp_path: Path) -> None:
    drift, identical = built(tmp_path, "drift", "identical")
    assert overview.failing([identical]) == ()
    (comparison,) = (item for item in drift.comparisons if item.outcome.value == "drift")
    pairs = [
        pair.model_copy(
            update={
                "verdicts": [
                    verdict.model_copy(update={"status": "drift", "measured": measured})
                    for verdict in pair.verdicts[-1:]
                ]
            }
        )
        for pair, measured in zip(comparison.pairs, (0.9, 0.5), strict=True)
    ]
    report = drift.model_copy(update={"comparisons": [comparison.model_copy(update={"pairs": pairs})]})
    rows = texts(table_of(overview.failing([report])))
    assert [row[4] for row in rows] == ["0.5", "0.9"]


def test_five_lines_say_what_is_not_shown_and_how_many_more_there_are(tmp_path: Path) -> None:
    (report,) = built(tmp_path, "simulated")
    lines, more = overview.gaps([report])
    assert isinstance(lines, Bullets)
    assert isinstance(more, Paragraph)
    assert lines.items == not_shown(report)[:5]
    assert more.text == f"{len(not_shown(report)) - 5} more are listed below."


def test_a_drift_names_the_command_that_says_where_and_why_and_nothing_else_does(tmp_path: Path) -> None:
    drift, within, unstable = built(tmp_path, "drift", "within_limits", "unstable")
    (said,) = overview.where_and_why(drift)
    assert isinstance(said, Listing)
    (comparison,) = (one for one in drift.comparisons if one.outcome is Status.DRIFT)
    arms = f"--arm {comparison.actual.arm} --against {comparison.expected.arm}"
    assert said.text.startswith(f"harness explain scenarios/deepgen-t2i.yaml {arms} --case ")
    assert overview.where_and_why(within) == overview.where_and_why(unstable) == ()
    from_elsewhere = comparison.model_copy(
        update={"actual": comparison.actual.model_copy(update={"noise": NoiseMode.UNVERIFIED})}
    )
    assert overview.where_and_why(drift.model_copy(update={"comparisons": [from_elsewhere]})) == ()
    called_unlike = comparison.model_copy(update={"differing": [OnPurpose.ARGUMENTS]})
    assert overview.where_and_why(drift.model_copy(update={"comparisons": [called_unlike]})) == ()
    videos = drift.scenario.model_copy(update={"frames": Frames(count=9)})
    assert overview.where_and_why(drift.model_copy(update={"scenario": videos})) == ()
    allowed = drift.model_copy(update={"command": [*drift.command, "--allow-command"]})
    (said,) = overview.where_and_why(allowed)
    assert isinstance(said, Listing)
    assert said.text.endswith(" --allow-command")
