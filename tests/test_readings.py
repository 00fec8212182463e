"""Every reading of "within 1 %", what it can tell apart, and what other noise passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from harness import plugins, readings
from harness.compare.comparator import compare_runs
from harness.contracts import Subject
from harness.records import CaseKey, Unfit, Unfitness
from harness.render import _readings as shown
from harness.scenario import load
from tests.compare.stored_runs import Made, limit, stored_run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.readings import Ladder, Read
    from harness.records import Comparison

FIRST, SECOND = CaseKey(case="cup", seed=7), CaseKey(case="cup", seed=42)


def letter(name: str) -> Made:
    return Made(picture=name, float_image=name, latents=name)


def compared(folder: Path, actual: dict[CaseKey, str], expected: dict[CaseKey, str]) -> Comparison:
    sides = [
        stored_run(folder / name, {key: [[letter(content)]] for key, content in contents.items()})
        for name, contents in (("actual", actual), ("expected", expected))
    ]
    return compare_runs(sides[0], sides[1], limits=[], base=folder)


def read(comparison: Comparison) -> Ladder:
    made = readings.ladder(comparison)
    assert made is not None
    return made


def one(made: Ladder, metric: str, subject: Subject = "image") -> Read:
    (reading,) = (row for row in made.readings if (row.reading.metric, row.reading.subject) == (metric, subject))
    return reading


def test_every_reading_is_of_a_metric_that_can_be_limited_on_its_subject() -> None:
    for reading in readings.READINGS:
        assert reading.subject in plugins.load("metrics", reading.metric).SUBJECTS
        assert plugins.load("metrics", reading.metric).IDENTICAL == 0
    assert {reading.subject for reading in readings.READINGS} == {*get_args(Subject)} - {"conversion"}


def test_equal_runs_pass_every_reading_and_a_faint_difference_not_all(tmp_path: Path) -> None:
    equal = read(compared(tmp_path / "equal", {FIRST: "B"}, {FIRST: "B"}))
    assert equal.passed == len(equal.readings) == len(readings.READINGS)
    faint = read(compared(tmp_path / "faint", {FIRST: "C"}, {FIRST: "B"}))
    assert 0 < faint.passed < len(faint.readings)
    assert one(faint, "mean_abs_diff").passed
    assert not one(faint, "max_relative_error").passed
    assert not one(faint, "relative_l2", "latents").passed


def test_a_reading_is_a_share_by_hand(tmp_path: Path) -> None:
    made = read(compared(tmp_path, {FIRST: "C", SECOND: "B"}, {FIRST: "B", SECOND: "B"}))
    mean = 9 * 16 / (32 * 32)  # 9 levels in a square of 4 by 4 pixels
    assert one(made, "mean_abs_diff").worst == pytest.approx(mean / 255)
    assert one(made, "mean_abs_diff").mean == pytest.approx(mean / 255 / 2)
    assert one(made, "mean_abs_diff").worst_key == FIRST
    assert one(made, "pixels_over_1_percent").worst == pytest.approx(16 / (32 * 32))
    assert one(made, "relative_l1", "latents").worst == pytest.approx(1.0)


def test_one_pair_above_one_per_cent_is_enough_to_fail_whatever_the_mean(tmp_path: Path) -> None:
    made = one(read(compared(tmp_path, {FIRST: "C", SECOND: "B"}, {FIRST: "B", SECOND: "B"})), "pixels_over_1_percent")
    assert made.mean < readings.LIMIT < made.worst
    assert not made.passed


def test_of_several_seeds_the_nearest_two_decide_what_other_noise_passes(tmp_path: Path) -> None:
    contents = {FIRST: "B", SECOND: "C", CaseKey(case="cup", seed=100): "Z"}
    made = one(read(compared(tmp_path, contents, contents)), "mean_abs_diff")
    assert made.other_noise == (min(9 * 16, (ord("Z") - ord("C")) * 9 * 16) / (32 * 32) / 255,)
    assert made.passed_by_other_noise == 1


def test_what_other_noise_passes_is_told_beside_each_reading(tmp_path: Path) -> None:
    alike = read(compared(tmp_path / "alike", {FIRST: "B", SECOND: "C"}, {FIRST: "B", SECOND: "C"}))
    assert alike.knows_other_noise
    (value,) = one(alike, "mean_abs_diff").other_noise
    assert value == pytest.approx(9 * 16 / (32 * 32) / 255)
    assert one(alike, "mean_abs_diff").passed_by_other_noise == 1
    assert one(alike, "relative_l2", "latents").passed_by_other_noise == 0
    assert 0 < alike.passed_by_other_noise < alike.passed
    apart = read(compared(tmp_path / "apart", {FIRST: "B", SECOND: "Z"}, {FIRST: "B", SECOND: "Z"}))
    assert apart.passed_by_other_noise < alike.passed_by_other_noise


def test_of_one_seed_nothing_is_said_about_other_noise(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {FIRST: "B"}, {FIRST: "B"})
    assert comparison.other_noise == []
    assert not read(comparison).knows_other_noise
    assert "what other noise would pass is not known" in shown.sentence(comparison)


def test_where_other_noise_passes_nothing_the_sentence_says_so(tmp_path: Path) -> None:
    contents = {FIRST: "B", SECOND: "Z"}
    comparison = compared(tmp_path, contents, contents)
    far = [
        row.model_copy(update={"measurements": [item.model_copy(update={"value": 1e3}) for item in row.measurements]})
        for row in comparison.other_noise
    ]
    made = read(comparison.model_copy(update={"other_noise": far}))
    assert (made.passed, made.passed_by_other_noise) == (len(made.readings), 0)
    assert made.sentence.endswith("another seed's noise would pass none of these")


def test_only_seeds_of_one_case_are_other_noise(tmp_path: Path) -> None:
    other = CaseKey(case="cat", seed=7)
    contents = {FIRST: "B", SECOND: "C", other: "D"}
    comparison = compared(tmp_path, contents, contents)
    assert [(row.key, row.other_seed) for row in comparison.other_noise] == [(FIRST, 42)]


def test_repeats_and_what_cannot_be_compared_have_no_readings(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {FIRST: "B"}, {FIRST: "B"})
    apart = comparison.model_copy(update={"differences": ["the noise differs"]})
    assert readings.ladder(apart) is None
    assert shown.sentence(apart) == ""
    assert shown.readings(apart) is None
    assert readings.ladder(comparison.model_copy(update={"pairs": []})) is None
    black = Unfit(key=FIRST, arm="candidate", sample="p0r0", kind=Unfitness.FLAT, message="every pixel is 0, 0, 0")
    assert readings.ladder(comparison.model_copy(update={"unfit": [black]})) is None


def test_where_no_reading_is_passed_nothing_is_said_of_other_noise(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {FIRST: "B", SECOND: "B"}, {FIRST: "B", SECOND: "B"})
    (first, second) = comparison.pairs
    far = [
        pair.model_copy(update={"measurements": [item.model_copy(update={"value": 1e3}) for item in pair.measurements]})
        for pair in (first, second)
    ]
    made = read(comparison.model_copy(update={"pairs": far}))
    assert made.sentence == f"passes none of {len(readings.READINGS)} readings of 'within 1 %'"


def test_the_page_says_how_many_pass_and_how_many_of_these_show_nothing(tmp_path: Path) -> None:
    contents = {FIRST: "B", SECOND: "C"}
    comparison = compared(tmp_path, contents, contents)
    made = read(comparison)
    assert shown.sentence(comparison) == (
        f"Passes {made.passed} of {len(made.readings)} readings of 'within 1 %'; {made.passed_by_other_noise} of these "
        "another seed's noise would pass too, in one case at least, so there they show nothing."
    )
    rows = shown.readings(comparison)
    assert rows is not None
    assert len(rows.rows) == len(made.readings)
    by_formula = {(row[0].text, row[1].text): row for row in rows.rows}
    row = by_formula["8-bit image", "mean |a - e| / range"]
    assert [cell.text for cell in row[2:]] == ["0 %", "cup, seed 7", "0 %", "yes", "0.0551 %", "1 of 1"]


def test_a_limit_may_name_any_reading(tmp_path: Path) -> None:
    limits = "".join(
        f"  - {{metric: {reading.metric}, subject: {reading.subject}, scope: reference, at_most: 0.01, "
        "reason: The acceptance rule asks for it.}\n"
        for reading in readings.READINGS
    )
    (tmp_path / "limited.yaml").write_text(
        "name: limited\nsummary: Every reading.\ntask: text_to_image\nmodel: {source: 'builtin:tiny-deepgen'}\n"
        "cases: [{id: cup, prompt: a cup}]\nseeds: [7]\nwidth: 128\nheight: 128\nsteps: 2\n"
        f"arms: [{{name: mine}}, {{name: theirs, role: reference}}]\nlimits:\n{limits}",
        encoding="utf-8",
    )
    assert len(load(tmp_path / "limited.yaml").scenario.limits) == len(readings.READINGS)
    assert limit("relative_l1", at_most=0.01).metric in readings.METRICS
