"""Laws that every metric keeps, whoever wrote it: a new file in ``harness/metrics`` is under them without an edit here.

Which laws a metric keeps beyond the general ones is stated in the sets below, by name.
"""

from __future__ import annotations

import math
import re
from itertools import permutations
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from harness.contracts import DATA_RANGE, Subject
from harness.errors import ImageError, UndefinedMetric
from harness.metrics import _pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.contracts import ErrorMetric

METRICS = plugins.names("metrics")
LOADED = {name: plugins.load("metrics", name) for name in METRICS}
CASES: list[tuple[str, Subject]] = [(name, subject) for name in METRICS for subject in LOADED[name].SUBJECTS]

PICTURES = [name for name in METRICS if "image" in LOADED[name].SUBJECTS]
OF_PICTURES = [(name, subject) for name, subject in CASES if subject != "latents"]

WINDOWED = {"ssim", "ssim_tile_min"}
"""Need 11 pixels on each side; see one changed bit where it is not rounded away, so only tested in the middle."""

SEES_ONE_BIT = {"identical", "mse", "max_abs_diff", "mean_abs_diff", "psnr_db", "signed_mean_diff", "relative_l2"}
"""Move when any single value changes by its last bit. ``p99_abs_diff`` sees it only below 100 values."""

DIRECTED = {"signed_mean_diff"}
"""Turn their sign when the pictures are swapped, and are better the nearer to zero."""

LOPSIDED = {"relative_l1", "relative_l2", "mean_relative_error", "max_relative_error"}
"""Measure by the expected side, so swapping changes the value."""

COUNTED_BY_EXPECTED = {"share_over_1_percent"}
"""Count by the expected side, so swapping changes the value."""

WITH_DIRECTION = {"cosine_distance"}
"""Have no value where one side is zero throughout."""

TOLERANT = {"worst_window_count", "share_over_1_percent", "pixels_over_1_percent"}
"""Do not see what is within a stated tolerance, and count rather than weigh what is not."""

BITWISE = {"identical"}
"""Compare bits: defined for non-finite values and for pictures of unlike type."""

SIDE = 16
"""Side of a picture that is large enough for every window."""


def _measure(name: str, actual: NDArray[Any], expected: NDArray[Any], subject: Subject = "image") -> float:
    return LOADED[name].measure(actual, expected, data_range=DATA_RANGE.get(subject, math.nan)).value


def _picture(subject: Subject, height: int = SIDE, width: int = SIDE, seed: int = 0) -> NDArray[Any]:
    generator = np.random.default_rng(seed)
    if subject == "image":
        return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return generator.uniform(-1, 1, (height, width, 3)).astype(np.float32)


def _badness(name: str, value: float) -> float:
    """The value turned so that more is worse."""
    if name in DIRECTED:
        return abs(value)
    return -value if LOADED[name].BETTER == "higher" else value


def _drawn(subject: Subject, height: int, width: int, seed: int, values: str) -> NDArray[Any]:
    """A picture of uniform noise, of one value, or of the values at which arithmetic breaks first."""
    generator = np.random.default_rng(seed)
    if values == "noise":
        return _picture(subject, height, width, seed)
    edges = np.array([0, 1, 127, 128, 254, 255], np.uint8)
    if subject == "latents":  # of one value, but not zero: that has no direction and is no yardstick
        edges = np.array([-1, 1, 1e-38, -4, np.nextafter(np.float32(1), 0)], np.float32)
    if subject in {"float_image", "conversion"}:
        edges = np.array([-1, 1, 0, -0.0, 1e-45, -1e-38, np.nextafter(np.float32(1), 0)], np.float32)
    shape = (height, width, 3)
    return generator.choice(edges, shape) if values == "edges" else np.full(shape, generator.choice(edges))


def _pictures(subject: Subject, smallest: int) -> st.SearchStrategy[tuple[NDArray[Any], NDArray[Any]]]:
    """Two pictures of one size; made from drawn seeds, because drawing every value would take most of the time."""

    def pair(height: int, width: int, seeds: list[int], values: list[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        actual, expected = (_drawn(subject, height, width, *one) for one in zip(seeds, values, strict=True))
        return actual, expected

    sides = st.integers(smallest, smallest + 9)
    seeds = st.lists(st.integers(0, 2**32), min_size=2, max_size=2)
    values = st.lists(st.sampled_from(["noise", "edges", "one value"]), min_size=2, max_size=2)
    return st.builds(pair, sides, sides, seeds, values)


def _pictures_for(name: str, subject: Subject) -> st.SearchStrategy[tuple[NDArray[Any], NDArray[Any]]]:
    """Two pictures for which the metric has a value."""
    # Latents are never drawn as zero throughout.
    drawn_as: Subject = "latents" if name in WITH_DIRECTION else subject
    return _pictures(drawn_as, 11 if name in WINDOWED else 1)


def _flip_last_bit(picture: NDArray[Any], index: int) -> NDArray[Any]:
    flipped = picture.copy()
    flipped.view(np.uint8 if picture.dtype == np.uint8 else np.uint32).reshape(-1)[index] ^= 1
    return flipped


# --- for every metric ------------------------------------------------------------------------------------------------


def test_the_laws_have_metrics_to_hold_for() -> None:
    assert set(METRICS) >= WINDOWED | SEES_ONE_BIT | DIRECTED | LOPSIDED | TOLERANT | BITWISE
    assert "p99_abs_diff" in METRICS


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name: str) -> None:
    metric = LOADED[name]
    assert metric.BETTER in {"higher", "lower"}
    assert metric.SUBJECTS
    assert set(metric.SUBJECTS) <= set(get_args(Subject))
    assert isinstance(metric.IDENTICAL, float)
    assert not math.isnan(metric.IDENTICAL)
    assert re.fullmatch(rf"{name}:\S+", metric.SPEC)
    assert (metric.__doc__ or "").strip()


ERRORS = [name for name in METRICS if hasattr(LOADED[name], "rounding_floor")]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("step", [2.0**-8, 2.0**-11])
def test_the_floor_of_a_ratio_is_what_rounding_errors_alone_give(name: str, step: float) -> None:
    generator = np.random.default_rng(7)
    ones = np.ones((64, 64, 3), np.float32)
    rounded = (ones + generator.uniform(-step / 2, step / 2, ones.shape)).astype(np.float32)
    found = LOADED[name].measure(rounded, ones, data_range=2.0).value
    floor = cast("ErrorMetric", LOADED[name]).rounding_floor(step)
    assert found == pytest.approx(floor, rel=0.02)


def test_what_may_be_divided_is_zero_for_equal_pictures_and_has_no_sign() -> None:
    assert ERRORS
    assert {(LOADED[name].BETTER, LOADED[name].IDENTICAL) for name in ERRORS} == {("lower", 0.0)}
    assert not set(ERRORS) & DIRECTED


def test_no_two_metrics_have_the_same_spec() -> None:
    assert len({LOADED[name].SPEC for name in METRICS}) == len(METRICS)


@pytest.mark.parametrize(("name", "subject"), CASES)
@given(data=st.data())
@settings(max_examples=20, derandomize=True)
def test_equal_pictures_get_the_value_for_equal_pictures(name: str, subject: Subject, data: st.DataObject) -> None:
    picture, _ = data.draw(_pictures_for(name, subject))
    assert _measure(name, picture, picture.copy(), subject) == LOADED[name].IDENTICAL


@pytest.mark.parametrize(("name", "subject"), CASES)
@given(data=st.data())
@settings(max_examples=20, derandomize=True)
def test_no_pair_is_better_than_equal_pictures(name: str, subject: Subject, data: st.DataObject) -> None:
    actual, expected = data.draw(_pictures_for(name, subject))
    value = _measure(name, actual, expected, subject)
    assert not math.isnan(value)
    assert _badness(name, value) >= _badness(name, LOADED[name].IDENTICAL)


@pytest.mark.parametrize(("name", "subject"), CASES)
def test_more_damage_is_never_better(name: str, subject: Subject) -> None:
    base = np.random.default_rng(2).integers(0, 128, (SIDE, SIDE, 3))
    values = []
    for damage in (0, 1, 8, 64, 127):
        pair = [
            levels.astype(np.uint8) if subject == "image" else (levels / 127.5 - 1).astype(np.float32)
            for levels in (base + damage, base)
        ]
        values.append(_badness(name, _measure(name, pair[0], pair[1], subject)))
    assert values == sorted(values)
    assert values[0] < values[-1 if name in TOLERANT else 1]
    assert name in BITWISE | TOLERANT or len(set(values)) == len(values)


@pytest.mark.parametrize(("name", "subject"), CASES)
def test_the_pictures_are_left_as_they_were(name: str, subject: Subject) -> None:
    actual, expected = _picture(subject), _picture(subject, seed=1)
    before = actual.tobytes(), expected.tobytes()
    actual.flags.writeable = expected.flags.writeable = False
    _measure(name, actual, expected, subject)
    assert (actual.tobytes(), expected.tobytes()) == before


@pytest.mark.parametrize(("name", "subject"), CASES)
def test_the_layout_in_memory_plays_no_part(name: str, subject: Subject) -> None:
    actual, expected = _picture(subject), _picture(subject, seed=1)
    value = _measure(name, actual, expected, subject)
    mirrored = np.ascontiguousarray(actual[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    assert _measure(name, mirrored, np.asfortranarray(expected), subject) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("name", "subject"), CASES)
@pytest.mark.parametrize(
    "shape",
    [
        (SIDE, SIDE + 1, 3),
        (SIDE + 1, SIDE, 3),
        (1, 1, 3),
        (SIDE, 1, 3),
        (SIDE, SIDE, 1),
        (SIDE, SIDE),
        (3,),
        (1, SIDE, SIDE, 3),
    ],
    ids=str,
)
def test_pictures_of_unlike_shape_are_refused(name: str, subject: Subject, shape: tuple[int, ...]) -> None:
    picture = _picture(subject)
    other = np.zeros(shape, picture.dtype)
    for actual, expected in ((picture, other), (other, picture)):
        with pytest.raises(ImageError, match=r"differ in size.*actual \[.*expected \[.*never resized"):
            _measure(name, actual, expected, subject)


@pytest.mark.parametrize(("name", "subject"), OF_PICTURES)
@pytest.mark.parametrize(
    "shape", [(SIDE, SIDE), (SIDE, SIDE, 1), (SIDE, SIDE, 4), (0, SIDE, 3), (2, SIDE, SIDE, 3)], ids=str
)
def test_what_is_no_rgb_picture_is_refused(name: str, subject: Subject, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, _picture(subject).dtype)
    with pytest.raises(ImageError, match=r"allowed is \[height, width, 3\]"):
        _measure(name, array, array, subject)


# --- for all that compute with the values ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*METRICS} - BITWISE))
@pytest.mark.parametrize("other", ["float32", "int8", "uint16", ">f4"])
def test_pictures_of_unlike_type_are_refused(name: str, other: str) -> None:
    picture = _picture("image")
    for pair in ((picture, picture.astype(other)), (picture.astype(other), picture)):
        with pytest.raises(ImageError, match="differ in type"):
            _measure(name, *pair)


@pytest.mark.parametrize("name", sorted({*METRICS} - BITWISE))
@pytest.mark.parametrize("kind", ["int8", "int64", "uint16", "bool", "complex64"])
def test_types_that_are_no_pictures_are_refused(name: str, kind: str) -> None:
    array = np.zeros((SIDE, SIDE, 3), kind)
    with pytest.raises(ImageError, match=f"type {kind} have no metric"):
        _measure(name, array, array)


@pytest.mark.parametrize(("name", "subject"), [case for case in CASES if case[0] not in BITWISE])
@pytest.mark.parametrize(("value", "word"), [(math.nan, "1 NaN"), (math.inf, "1 infinite"), (-math.inf, "1 infinite")])
@pytest.mark.parametrize("side", ["actual", "expected"])
def test_one_value_that_is_not_finite_leaves_no_value(
    name: str, subject: Subject, value: float, word: str, side: str
) -> None:
    whole, broken = _picture("float_image"), _picture("float_image")
    broken[7, 3, 1] = value
    pair = (broken, whole) if side == "actual" else (whole, broken)
    with pytest.raises(UndefinedMetric, match=f"{word} among the 768 values of the {side} (picture|latents)"):
        _measure(name, *pair, subject)


@pytest.mark.parametrize("name", sorted({*METRICS} - BITWISE))
def test_both_sides_that_are_not_finite_are_counted(name: str) -> None:
    broken = _picture("float_image")
    broken[0, :2] = math.nan
    broken[1, 0] = -math.inf
    with pytest.raises(UndefinedMetric, match=r"6 NaN, 3 infinite among .* actual \w+ and 6 NaN, 3 infinite among"):
        _measure(name, broken, broken.copy())


@pytest.mark.parametrize("name", sorted({*METRICS} - BITWISE))
def test_values_whose_square_would_overflow_leave_no_value(name: str) -> None:
    huge = np.full((SIDE, SIDE, 3), 1e200)
    with pytest.raises(UndefinedMetric, match="768 larger than float32 holds"):
        _measure(name, huge, -huge)


@pytest.mark.parametrize(
    ("name", "subject"), [case for case in CASES if case[0] not in DIRECTED | LOPSIDED | COUNTED_BY_EXPECTED]
)
@given(data=st.data())
@settings(max_examples=20, derandomize=True)
def test_swapping_the_pictures_changes_nothing(name: str, subject: Subject, data: st.DataObject) -> None:
    actual, expected = data.draw(_pictures_for(name, subject))
    assert _measure(name, actual, expected, subject) == _measure(name, expected, actual, subject)


@pytest.mark.parametrize("name", sorted(LOPSIDED))
def test_what_is_measured_by_the_expected_side_is_scaled_by_it(name: str) -> None:
    small = _picture("latents") + 2  # no value is below the floor
    large = 2 * small
    assert _measure(name, large, small, "latents") == 1
    assert _measure(name, small, large, "latents") == 0.5


@pytest.mark.parametrize(("name", "subject"), CASES)
@given(data=st.data())
@settings(max_examples=20, derandomize=True)
def test_how_many_threads_share_the_work_changes_no_bit(name: str, subject: Subject, data: st.DataObject) -> None:
    actual, expected = data.draw(_pictures_for(name, subject))
    found = []
    for threads in (1, 2, 3, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_pairs, "threads", lambda rows, most=threads: min(rows, most))
            found.append(LOADED[name].measure(actual, expected, data_range=DATA_RANGE.get(subject, math.nan)))
    assert all(repr(each) == repr(found[0]) for each in found)


@pytest.mark.parametrize(("name", "subject"), CASES)
def test_pictures_that_nobody_can_change_are_measured_as_any_other(name: str, subject: Subject) -> None:
    actual, expected = _picture(subject), _picture(subject, seed=1)
    fixed = [np.ndarray(each.shape, each.dtype, each.tobytes()) for each in (actual, expected)]
    value = _measure(name, actual, expected, subject)
    assert _measure(name, fixed[0], fixed[1], subject) == value
    assert _measure(name, fixed[0], fixed[1], subject) == value


@pytest.mark.parametrize(("name", "subject"), CASES)
def test_a_picture_changed_in_place_is_measured_anew(name: str, subject: Subject) -> None:
    actual, expected = _picture(subject), _picture(subject, seed=1)
    actual.flags.writeable = False
    before = _measure(name, actual, expected, subject)
    expected[:] = actual
    assert _measure(name, actual, expected, subject) == LOADED[name].IDENTICAL != before


@pytest.mark.parametrize("name", sorted(DIRECTED))
@given(data=st.data())
@settings(max_examples=40, derandomize=True)
def test_swapping_the_pictures_turns_the_sign(name: str, data: st.DataObject) -> None:
    actual, expected = data.draw(_pictures("image", 1))
    assert _measure(name, actual, expected) == -_measure(name, expected, actual)


@pytest.mark.parametrize("name", PICTURES)
@given(data=st.data())
@settings(max_examples=20, derandomize=True)
def test_whole_numbers_measure_the_same_in_8_bits_and_as_floats(name: str, data: st.DataObject) -> None:
    actual, expected = data.draw(_pictures("image", 11 if name in WINDOWED else 1))
    value = _measure(name, actual, expected)
    for wide in (np.float64, np.float32):
        assert _measure(name, actual.astype(wide), expected.astype(wide)) == value


@pytest.mark.parametrize(("name", "subject"), CASES)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_the_channels_plays_no_part(name: str, subject: Subject, order: tuple[int, ...]) -> None:
    actual, expected = _picture(subject), _picture(subject, seed=1)
    value = _measure(name, actual, expected, subject)
    assert _measure(name, actual[..., order], expected[..., order], subject) == pytest.approx(value, rel=1e-12)


# --- one bit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "subject"), [case for case in CASES if case[0] in SEES_ONE_BIT])
@given(data=st.data())
@settings(max_examples=30, derandomize=True)
def test_one_flipped_bit_is_seen_anywhere(name: str, subject: Subject, data: st.DataObject) -> None:
    picture, _ = data.draw(_pictures(subject, 1))
    flipped = _flip_last_bit(picture, data.draw(st.integers(0, picture.size - 1)))
    identical = LOADED[name].IDENTICAL
    assert _badness(name, _measure(name, flipped, picture, subject)) > _badness(name, identical)


@pytest.mark.parametrize("name", sorted(WINDOWED))
def test_one_flipped_bit_in_the_middle_moves_the_similarity(name: str) -> None:
    picture = _picture("image", 64, 64)
    flipped = _flip_last_bit(picture, (32 * 64 + 32) * 3)
    assert 1 - 1e-5 < _measure(name, flipped, picture) < 1


@pytest.mark.parametrize(("width", "seen"), [(33, True), (34, False)])
def test_one_flipped_bit_reaches_the_percentile_only_below_a_hundred_values(width: int, *, seen: bool) -> None:
    picture = _picture("image", 1, width)
    assert (_measure("p99_abs_diff", _flip_last_bit(picture, 50), picture) > 0) is seen


def test_bits_decide_whether_floats_are_identical() -> None:
    zeros = np.zeros((1, 1, 3), np.float32)
    quiet = np.full((1, 1, 3), math.nan, np.float32)
    assert _measure("identical", zeros, -zeros) == 0.0
    assert _measure("identical", quiet, quiet.copy()) == 1.0
    assert _measure("identical", quiet, _flip_last_bit(quiet, 0)) == 0.0
    assert _measure("identical", zeros, zeros.view(np.int32)) == 0.0
    assert _measure("identical", zeros.astype(np.uint8), zeros.astype(np.int8)) == 0.0


# --- nothing wraps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("darkest_first", [True, False])
def test_black_against_white_is_the_whole_range(*, darkest_first: bool) -> None:
    pair = [np.full((SIDE, SIDE, 3), level, np.uint8) for level in ((0, 255) if darkest_first else (255, 0))]
    values = {name: _measure(name, pair[0], pair[1]) for name in PICTURES}
    assert values["max_abs_diff"] == values["mean_abs_diff"] == values["p99_abs_diff"] == 255
    assert values["mse"] == 65025
    assert values["psnr_db"] == 0
    assert values["signed_mean_diff"] == (-255 if darkest_first else 255)
    assert 0 < values["ssim"] < 2e-4
    assert values["worst_window_count"] == SIDE * SIDE


def test_a_difference_of_16_everywhere_is_not_lost_in_a_square_of_8_bits() -> None:
    expected = _picture("image")
    actual = expected ^ np.uint8(16)
    assert np.array_equal((actual - expected) ** 2, np.zeros_like(actual))  # what wrapping arithmetic makes of it
    assert _measure("mse", actual, expected) == 256
    assert _measure("psnr_db", actual, expected) == pytest.approx(10 * math.log10(65025 / 256), abs=1e-12)
    assert _measure("max_abs_diff", actual, expected) == 16
    assert _measure("mean_abs_diff", actual, expected) == 16
    assert _measure("p99_abs_diff", actual, expected) == 16


@given(st.integers(1, 255), st.integers(0, 2**32))
@settings(max_examples=40, derandomize=True)
def test_a_brightness_step_is_measured_as_that_step(step: int, seed: int) -> None:
    expected = np.random.default_rng(seed).integers(0, 256 - step, (3, 5, 3), dtype=np.uint8)
    actual = (expected + step).astype(np.uint8)
    assert _measure("mse", actual, expected) == step**2
    assert _measure("psnr_db", actual, expected) == pytest.approx(20 * math.log10(255 / step), abs=1e-12)
    for name in ("max_abs_diff", "mean_abs_diff", "p99_abs_diff", "signed_mean_diff"):
        assert _measure(name, actual, expected) == step
    assert _measure("signed_mean_diff", expected, actual) == -step


@pytest.mark.parametrize("step", [1, 100, 255])
def test_one_changed_value_is_spread_over_all(step: int) -> None:
    expected = np.zeros((9, 7, 3), np.uint8)
    actual = expected.copy()
    actual[4, 2, 1] = step
    assert _measure("mse", actual, expected) == step**2 / (3 * 9 * 7)


def test_the_sums_of_a_large_picture_do_not_overflow() -> None:
    black, white = (np.broadcast_to(np.uint8(level), (2048, 1024, 3)) for level in (0, 255))
    assert _measure("mse", white, black) == 65025
    assert _measure("mean_abs_diff", white, black) == 255
