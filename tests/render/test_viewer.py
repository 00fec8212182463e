from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.images import array_digest, write_picture
from harness.language import spoken
from harness.records import CaseKey, Measurement, Report, Status, Step
from harness.render import _charts, _maps, _pair_views, _pictures, _viewer
from harness.render._report import document
from harness.render._templates import fill
from harness.sketches import relative_difference
from tests.render import many_cases, sample_reports, test_languages
from tests.render.readers import Page, rendered

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.render._pictures import Picture


def pairs(report: Report, folder: Path, **limits: int) -> list[_pair_views.PairView]:
    return [pair for case in _viewer.viewer(report, folder, **limits).cases for pair in case.pairs]


def stored(report: Report, folder: Path) -> list[Picture]:
    """The distinct pictures of all cases."""
    return [picture for case in _viewer.viewer(report, folder).cases for picture in case.pictures]


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_a_pair_that_differs_has_every_view(tmp_path: Path) -> None:
    (pair,) = pairs(sample_reports.drift(tmp_path), tmp_path)
    assert pair.title == "candidate p0r0 against cpu-fp32 p0r0"
    assert (pair.status, pair.whole) == (Status.DRIFT, True)
    assert pair.sentence == "The largest difference is 9 of 255 levels; 79 % of values are equal."
    shown = [pair.actual, pair.expected, pair.difference, *pair.channels, *pair.tile]
    assert len(shown) == 3 + 3 + 3
    assert all(picture and picture.source.startswith("data:image/webp;base64,") for picture in shown)
    assert pair.place.startswith("x=32..63 y=32..63, by Worst tile SSIM")
    assert pair.box == "left:25.000%;top:25.000%;width:50.000%;height:50.000%"
    assert pair.histogram
    assert pair.curve
    assert pair.course == (
        "The latents first differ after step 7. The curve is an estimate, within about 20 % and not below 1e-07."
    )


def test_each_two_pictures_are_held_against_each_other_once(tmp_path: Path) -> None:
    titles = [pair.title for pair in pairs(sample_reports.npu(tmp_path), tmp_path)]
    assert titles == ["npu (SIMULATED) p0r0 against cpu-kernels p0r0"], "cpu-plain made the same picture"


def test_equal_pictures_have_no_pair_and_are_there_once_whole(tmp_path: Path) -> None:
    report = sample_reports.unstable(tmp_path)
    unstable, steady = _viewer.viewer(report, tmp_path).cases
    assert [picture.thumbnail for picture in unstable.pictures] == [True, True]
    assert [picture.thumbnail for picture in steady.pictures] == [False]
    assert unstable.pictures[0].lines == ("4 of 6 runs (p0r0, p0r1, p1r0, p1r1)",)
    assert (unstable.failing, steady.failing, steady.pairs) == (True, False, ())


def test_a_strip_tells_which_sample_has_which_outcome(tmp_path: Path) -> None:
    unstable, steady = _viewer.viewer(sample_reports.unstable(tmp_path), tmp_path).cases
    (strip,) = unstable.strips
    assert [number for _, number in strip.cells] == [1, 1, 2, 1, 1, 2]
    assert [label for label, _ in strip.cells] == ["p0r0", "p0r1", "p0r2", "p1r0", "p1r1", "p1r2"]
    assert steady.strips == ()


def test_the_page_has_every_view_without_a_script(tmp_path: Path) -> None:
    page = Page(rendered("html", sample_reports.drift(tmp_path), tmp_path))
    alternatives = [value for name, value in page.attributes if name == "alt"]
    for title in ("Actual: candidate p0r0", "Expected: cpu-fp32 p0r0", "Difference", "red", "green", "blue"):
        assert title in alternatives
    assert page.tags.count("svg") == 2
    assert "1 12 levels; largest of the three channels; black: equal" in page.text


def test_pictures_of_different_sizes_are_shown_and_no_difference_is(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    larger = np.zeros((8, 12, 3), np.uint8)
    actual, expected = report.runs
    write_picture(tmp_path / "cpu-fp32" / "images" / "larger.png", larger)
    image = expected.samples[0].image.model_copy(
        update={"path": "images/larger.png", "digest": array_digest(larger), "shape": [8, 12, 3]}
    )
    samples = [
        each.model_copy(update={"image": image}) if each.key == sample_reports.PIZZA else each
        for each in expected.samples
    ]
    runs = [actual, expected.model_copy(update={"samples": samples})]
    (pair,) = pairs(report.model_copy(update={"runs": runs}), tmp_path)
    assert pair.sentence == "No difference is drawn: the two pictures have different sizes."
    assert (pair.difference, pair.whole) == (None, False)
    assert pair.actual.source
    assert (pair.expected.width, pair.expected.height) == (12, 8)


ENGLISH = re.compile(r"[A-Za-z]{2,}(?: [a-z]{2,}){3,}")
"""Four English words in a row."""


def gallery(report: Report, folder: Path) -> str:
    """What the section of pictures says and labels, without prompts."""
    text = rendered("html", report, folder)
    section = text[text.index('<section id="pictures">') :]
    section = section[: section.index('<section id="determinism">')]
    page = Page(re.sub(r'<p class="quote.*?</p>', "", section, flags=re.DOTALL))
    told = {"alt", "aria-label", "title"}
    return "\n".join([page.text, *(value for name, value in page.attributes if name in told or name[:5] == "data-")])


@pytest.mark.parametrize("builder", sample_reports.BUILDERS)
def test_in_chinese_no_english_sentence_is_left(builder: str, tmp_path: Path) -> None:
    english = gallery(sample_reports.BUILDERS[builder](tmp_path), tmp_path)
    with spoken("zh"):
        chinese = gallery(sample_reports.BUILDERS[builder](tmp_path), tmp_path)
    assert ENGLISH.findall(english)
    assert ENGLISH.findall(chinese) == []


def test_the_script_has_no_words_of_its_own() -> None:
    script = re.sub(r"//.*", "", fill("viewer.js")).removeprefix('"use strict";')
    literals = re.findall(r"\"([^\"]*)\"|`([^`]*)`", script)
    assert ("{number}", "") in literals
    assert [each for each in literals if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", "".join(each))] == []


# --- budgets ---------------------------------------------------------------------------------------------------------


def test_beyond_the_budget_there_are_thumbnails_that_lead_to_the_files(tmp_path: Path) -> None:
    found = _viewer.viewer(sample_reports.drift(tmp_path), tmp_path, budget=100)
    (pair,) = found.cases[0].pairs
    assert not pair.whole
    assert not pair.channels
    assert pair.difference
    assert pair.difference.thumbnail
    for picture in (pair.actual, pair.expected, *found.cases[1].pictures):
        assert picture.thumbnail
        assert (tmp_path / "report" / picture.link).resolve().is_file()
    assert found.left_out == (
        "Whole pictures take at most 0.0001 MB of this page, the worst cases first; a case that passes has them only "
        "among the first 60. Beside them the page has 3 pictures as thumbnails; each leads to its file in the job "
        "folder."
    )


def test_beyond_both_budgets_there_are_links(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    (run, _), album = report.runs, _pictures.Album(tmp_path, left=100, left_for_thumbnails=100)
    first, second = run.samples[0], run.samples[-1]
    assert album.place("Actual", run, first.image, whole=True).thumbnail, "the budget's last one may exceed it"
    found = album.place("Actual", run, second.image, whole=True)
    assert (found.source, found.problem) == ("", "linked: the page's budget for pictures is used up")
    assert found.link.startswith("../candidate/images/")
    assert not album.open


def test_the_page_keeps_to_its_budgets(tmp_path: Path) -> None:
    budget = 40_000
    found = _viewer.viewer(sample_reports.drift(tmp_path), tmp_path, budget=budget)
    whole = [picture for case in found.cases for picture in case.pictures if picture.source and not picture.thumbnail]
    for pair in (pair for case in found.cases for pair in case.pairs if pair.whole):
        whole += [each for each in (pair.actual, pair.expected, pair.difference, *pair.channels, *pair.tile) if each]
    assert whole
    assert sum(len(picture.source) for picture in whole) <= budget


def test_many_cases_keep_to_the_budgets_and_lead_to_their_files(tmp_path: Path) -> None:
    budget = 60_000
    report = many_cases.built(tmp_path, 45)
    found = _viewer.viewer(report, tmp_path, budget=budget)
    assert [case.failing for case in found.cases] == [True] * 15 + [False] * 30, "what fails comes first"
    two = [pair for case in found.cases for pair in case.pairs]
    assert [pair.whole for pair in two] == sorted((pair.whole for pair in two), reverse=True)
    assert 0 < sum(pair.whole for pair in two) < len(two) == 30
    shown = [picture for case in found.cases for picture in case.pictures]
    shown += [side for pair in two for side in (pair.actual, pair.expected)]
    assert all((tmp_path / "report" / picture.link).resolve().is_file() for picture in shown)
    page = fill("index.html.j2", document=document(report), viewer=found, script_digest="")
    sources = re.findall(r'src="(data:[^"]*)"', page)
    assert sum(map(len, sources)) <= budget + _pictures.THUMBNAIL_BUDGET
    assert len(page) - sum(map(len, sources)) < 45 * 30_000


def test_a_picture_that_is_too_long_for_webp_is_embedded_all_the_same(tmp_path: Path) -> None:
    (found,) = _pictures.Album(tmp_path).embed([("strip", np.zeros((2, 16_384, 3), np.uint8))]) or []
    assert found.source.startswith("data:image/png;base64,")


def test_nothing_is_said_to_be_left_out_when_nothing_is(tmp_path: Path) -> None:
    assert _viewer.viewer(sample_reports.drift(tmp_path), tmp_path).left_out == ""


def test_only_so_many_cases_that_pass_are_whole_and_all_that_fail(tmp_path: Path) -> None:
    unstable, steady = _viewer.viewer(sample_reports.unstable(tmp_path), tmp_path, first=0).cases
    assert unstable.pairs[0].whole
    assert [picture.thumbnail for picture in steady.pictures] == [True]


def two_within_limits(folder: Path) -> Report:
    """Two cases with one word, the glove with the lower PSNR."""
    report = sample_reports.within_limits(folder)
    (compared,) = report.comparisons
    lower = [
        pair.model_copy(
            update={
                "measurements": [
                    measurement.model_copy(update={"value": 20.0 if pair.key.case == "glove" else 30.0})
                    for measurement in pair.measurements
                    if measurement.metric == "psnr_db"
                ],
                "verdicts": [verdict.model_copy(update={"status": Status.WITHIN_LIMITS}) for verdict in pair.verdicts],
            }
        )
        for pair in compared.pairs
    ]
    return report.model_copy(update={"comparisons": [compared.model_copy(update={"pairs": lower})]})


def test_the_lowest_psnr_comes_first_among_cases_with_one_word(tmp_path: Path) -> None:
    report = two_within_limits(tmp_path)
    assert [case.title for case in _viewer.viewer(report, tmp_path).cases] == ["glove, seed 42", "pizza, seed 42"]


def test_what_the_model_cannot_draw_comes_last_among_cases_that_pass_with_one_word(tmp_path: Path) -> None:
    report = two_within_limits(tmp_path)
    for values, first in (([1.0, 0.0], "pizza, seed 42"), ([1.0, 1.0], "glove, seed 42")):
        scores = test_languages.scored(report.runs[0].plan.arm.name, values)
        cases = _viewer.viewer(report.model_copy(update={"scores": [scores]}), tmp_path).cases
        assert cases[0].title == first


def test_one_case_is_open_where_all_pass_and_two_where_one_fails(tmp_path: Path) -> None:
    for builder, opened in (("identical", 1), ("unstable", 2)):
        folder = tmp_path / builder
        folder.mkdir()
        text = rendered("html", sample_reports.BUILDERS[builder](folder), folder)
        assert text.count('<article class="case"') == opened
        assert text.count('<details class="case"') == 2 - opened


def test_a_missing_a_damaged_and_a_changed_picture_are_not_shown(tmp_path: Path) -> None:
    report = sample_reports.unstable(tmp_path)
    (first, second, third) = sorted((tmp_path / "candidate" / "images").iterdir())
    first.unlink()
    third.write_bytes(second.read_bytes())
    second.write_bytes(b"no picture")
    found = stored(report, tmp_path)
    assert {picture.problem for picture in found} == {
        "not shown: the file is no longer in the job folder",
        "not shown: the file cannot be read as a picture",
        "not shown: the file does not hold the picture that the record names",
    }
    assert "not shown: the file is no longer in the job folder" in rendered("html", report, tmp_path)


def test_a_picture_outside_the_job_folder_is_not_read(tmp_path: Path) -> None:
    job = tmp_path / "job"
    report = sample_reports.skipped(job)
    (run,) = report.runs
    (made,) = run.samples
    outside = tmp_path / "outside.png"
    outside.write_bytes((job / "candidate" / made.image.path).read_bytes())
    image = made.image.model_copy(update={"path": "../../outside.png"})
    moved = run.model_copy(update={"samples": [made.model_copy(update={"image": image})]})
    (found,) = stored(report.model_copy(update={"runs": [moved]}), job)
    assert found.problem == "not shown: the record names a file outside the job folder"
    assert not found.link


# --- maps ------------------------------------------------------------------------------------------------------------


def apart(*levels: int) -> NDArray[np.int16]:
    """Differences of one row of pixels, in the red channel."""
    delta = np.zeros((1, len(levels), 3), np.int16)
    delta[0, :, 0] = levels
    return delta


def test_equal_is_black_and_one_level_is_not() -> None:
    colours, top = _maps.heat(apart(0, 1, -1, 255))
    assert top == 255
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert colours[0, 1].tolist() == colours[0, 2].tolist()
    assert min(colours[0, 1].astype(int).max(), colours[0, 3].astype(int).max()) > 60


def test_the_heat_map_grows_lighter_with_every_level() -> None:
    colours, _ = _maps.heat(apart(*range(256)))
    linear = (colours[0] / 255) ** 2.2
    lightness = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1e-3).all()
    assert lightness[-1] > 0.9


def test_a_small_heat_map_keeps_the_largest_difference() -> None:
    delta = np.zeros((200, 100, 3), np.int16)
    delta[137, 61, 1] = -40
    colours, top = _maps.heat(delta, 50)
    assert (colours.shape, top) == ((50, 25, 3), 48)
    assert colours[137 // 4, 61 // 4].any()
    assert np.count_nonzero(colours.any(axis=2)) == 1


def test_signed_maps_tell_more_from_less() -> None:
    channels, top, side = _maps.signed(apart(-8, 0, 8))
    assert (top, side) == (8, 1)
    red = channels[0, 0].tolist()
    assert red == [list(_maps._BLUE), red[1], list(_maps._ORANGE)]
    assert min(red[1]) > 245
    assert (channels[1:] == red[1]).all()


def test_a_signed_map_of_a_large_picture_holds_means() -> None:
    delta = np.zeros((600, 301, 3), np.int16)
    delta[:3, :3] = 9
    delta[-1, -1] = -6
    channels, top, side = _maps.signed(delta)
    assert (channels.shape, top, side) == ((3, 200, 101, 3), 12, 3)
    assert channels[0, 0, 0].tolist() != channels[0, 1, 1].tolist()
    means = _maps._block_means(delta, side)
    assert means[0, 0, 0] == 9
    assert means[-1, -1, 0] == -6 / 3


@pytest.mark.parametrize(
    ("where", "metric", "expected"),
    [
        ("tile x=5..36 y=7..38", "ssim_tile_min", (5, 36, 7, 38)),
        ("block x=16..31 y=0..15", "worst_block_diff", (16, 31, 0, 15)),
        ("tile x=5..96 y=7..38", "ssim_tile_min", None),
        ("somewhere", "ssim_tile_min", None),
        ("block x=16..31 y=0..15", "mse", None),
    ],
)
def test_the_worst_place_is_read_from_the_measurements(
    where: str, metric: str, expected: tuple[int, ...] | None
) -> None:
    measured = Measurement(metric=metric, subject="image", value=1, unit="", better="lower", spec="x", where=where)
    found = _maps.worst_place([measured], (64, 64, 3))
    if expected is None:
        assert found is None
    else:
        assert found
        assert found[0] == metric
        assert (found[1].left, found[1].right, found[1].top, found[1].bottom) == expected


# --- charts ----------------------------------------------------------------------------------------------------------


def test_a_histogram_shows_a_single_value_beside_a_million() -> None:
    drawn = _charts.histogram([1_000_000, 0, 1])
    assert [bar.words for bar in drawn.bars] == ["0 levels: 1000000 values", "2 levels: 1 value"]
    assert drawn.bars[1].height > 5
    assert all(drawn.left <= bar.left and bar.left + bar.width <= drawn.right for bar in drawn.bars)


def test_a_histogram_of_all_levels_counts_each_value_once() -> None:
    drawn = _charts.histogram([1] * 256)
    assert len(drawn.bars) == 32
    assert drawn.bars[-1].words == "248 to 255 levels: 8 values"
    assert drawn.across == "levels of difference, 8 to a bar"


def test_a_curve_is_interrupted_where_a_step_has_no_value() -> None:
    drawn = _charts.curve([0.0, 1e-5, None, 1e-3, 1e-2])
    assert drawn
    assert [len(line) for line in drawn.lines] == [1, 2]
    assert drawn.lines[1][-1].words == "step 5: 1.0e-02"
    assert drawn.lines[0][0].y > drawn.lines[1][0].y > drawn.lines[1][1].y


@pytest.mark.parametrize("values", [[], [None, None], [0.0, 0.0]])
def test_nothing_above_zero_makes_no_curve(values: list[float | None]) -> None:
    assert _charts.curve(values) is None


@pytest.mark.parametrize("steps", [1, 2, 20, 50, 1000])
def test_labels_of_steps_lie_apart(steps: int) -> None:
    drawn = _charts.curve([0.1] * steps)
    assert drawn
    places = [tick.at for tick in drawn.x_ticks]
    assert all(after - before > 24 for before, after in pairwise(places))
    assert drawn.x_ticks[-1].label == str(steps)


def course(actual: list[Step], expected: list[Step]) -> str:
    return _pair_views._course(actual, expected)[0]


def test_the_course_says_where_the_difference_begins() -> None:
    one, other = (sample_reports.steps(sample_reports.PIZZA, sample_reports.sha(name)) for name in "ab")
    assert course(one, one) == "The latents are equal after every step: the difference begins in the decoder."
    assert course(one, other).startswith("The latents first differ after step 7.")
    assert course(one, other[:-1]) == course([], []) == "Latents by step: not recorded alike on both sides."
    bare = [step.model_copy(update={"sketch": step.sketch[:4]}) for step in one]
    assert course(bare, [step.model_copy(update={"sketch": step.sketch[:4]}) for step in other]).endswith(
        "Their sketches do not tell by how much."
    )


# --- noise floor -----------------------------------------------------------------------------------------------------


def curves(report: Report, folder: Path) -> list[_charts.Chart]:
    found = [pair.curve for pair in pairs(report, folder)]
    assert found
    assert all(found)
    return [each for each in found if each]


def test_a_curve_lies_above_a_band_of_what_correct_runs_differ_by(tmp_path: Path) -> None:
    report = sample_reports.calibrated(sample_reports.drift(tmp_path), "cpu-fp32")
    (curve,) = curves(report, tmp_path)
    assert len(curve.band) == sample_reports.STEPS
    assert curve.note == "band: noise floor, as far as correct runs of cpu-fp32 were apart (2026-01-31)"
    assert all(bar.top + bar.height == pytest.approx(curve.bottom, abs=0.2) for bar in curve.band)
    assert all(bar.left >= curve.left and bar.left + bar.width <= curve.right + 0.1 for bar in curve.band)
    tops = [bar.top for bar in curve.band]
    assert tops == sorted(tops, reverse=True), "it grows with the steps"
    page = rendered("html", report, tmp_path)
    assert page.count('<rect class="floor"') == sample_reports.STEPS
    assert "is not measured" not in page


def test_the_floor_in_a_less_precise_type_is_for_candidates_that_compute_in_it(tmp_path: Path) -> None:
    report = sample_reports.calibrated(sample_reports.drift(tmp_path), "cpu-fp32")
    actual, expected = report.runs
    assert curves(report, tmp_path)[0].band[0].words == "step 1: noise floor 2.0e-06"
    precise = actual.plan.model.model_copy(update={"dtype": "float32"})
    plan = actual.plan.model_copy(update={"model": precise})
    precise_runs = [actual.model_copy(update={"plan": plan}), expected]
    (curve,) = curves(report.model_copy(update={"runs": precise_runs}), tmp_path)
    assert curve.band[0].words == "step 1: noise floor 2.0e-07"


def test_a_floor_that_nobody_measured_has_no_band_and_says_why_once(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path).model_copy(update={"uncalibrated": {"cpu-fp32": "nobody looked"}})
    (curve,) = curves(report, tmp_path)
    assert (curve.band, curve.note) == ((), "noise floor not measured")
    text = Page(rendered("html", report, tmp_path)).text
    assert text.count("The noise floor of cpu-fp32 is not measured: nobody looked.") == 1
    assert text.count("noise floor not measured") == 1


def test_a_floor_of_other_steps_or_of_another_job_is_not_drawn(tmp_path: Path) -> None:
    report = sample_reports.calibrated(sample_reports.drift(tmp_path), "cpu-fp32")
    (found,) = report.calibrations
    short = [each.model_copy(update={"relative_l2": each.relative_l2[:-1]}) for each in found.steps]
    cut = report.model_copy(update={"calibrations": [found.model_copy(update={"steps": short})]})
    assert curves(cut, tmp_path)[0].note == "noise floor not measured"
    elsewhere = [
        each.model_copy(update={"expected": each.expected.model_copy(update={"path": "../other/cpu-fp32"})})
        for each in report.comparisons
    ]
    runs = report.model_copy(update={"comparisons": elsewhere})
    assert curves(runs, tmp_path)[0].note == "noise floor not measured"


def test_repeats_have_no_floor_to_lie_above(tmp_path: Path) -> None:
    report = sample_reports.unstable(tmp_path).model_copy(update={"uncalibrated": {"cpu-fp32": "nobody looked"}})
    assert [(curve.band, curve.note) for curve in curves(report, tmp_path)] == [((), "")]
    assert "nobody looked" not in rendered("html", report, tmp_path)


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 1000])
def test_a_band_covers_every_step_and_nothing_beside_the_axes(steps: int) -> None:
    drawn = _charts.curve([0.1] * steps, [1e-3] * (steps - 1) + [math.inf])
    assert drawn
    assert len(drawn.band) == steps - 1, "an infinite floor is none"
    for before, after in pairwise(drawn.band):
        assert after.left == pytest.approx(before.left + before.width, abs=0.11)
    assert all(bar.left >= drawn.left and bar.left + bar.width <= drawn.right + 0.1 for bar in drawn.band)


def test_sketches_without_projections_tell_nothing() -> None:
    bare = Step(digest=sample_reports.sha("x"), sketch=[1.0, 0.0, -1.0, 1.0], shape=[2])
    assert relative_difference([bare], [bare]) is None
    full = bare.model_copy(update={"sketch": [*bare.sketch, *[1.0] * 16]})
    moved = bare.model_copy(update={"sketch": [*bare.sketch, *[1.5] * 16]})
    assert relative_difference([moved], [full]) == pytest.approx(math.sqrt(2) * 0.5)


def test_a_case_that_nobody_compared_is_shown(tmp_path: Path) -> None:
    report = sample_reports.skipped(tmp_path)
    (case,) = _viewer.viewer(report.model_copy(update={"comparisons": []}), tmp_path).cases
    assert (case.status, case.failing, case.title) == (Status.SKIPPED, False, str(CaseKey(case="pizza", seed=42)))
