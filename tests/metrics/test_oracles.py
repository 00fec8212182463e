"""Every metric against numbers it did not make: published values, scikit-image, and sums done by hand."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness import plugins
from harness.compare.comparator import measure
from harness.errors import ImageError, UndefinedMetric
from harness.metrics import (
    _differences,
    _kernels,
    _loops,
    _pairs,
    _windows,
    cosine_distance,
    max_abs_diff,
    max_relative_error,
    mean_abs_diff,
    mean_relative_error,
    mse,
    p99_abs_diff,
    pixels_over_1_percent,
    psnr_db,
    relative_l1,
    relative_l2,
    share_over_1_percent,
    signed_mean_diff,
    ssim,
    ssim_tile_min,
    worst_block_diff,
    worst_window_count,
)
from harness.metrics._vectors import exact_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harness.contracts import Metric

    Picture = NDArray[np.uint8]

RADIUS = 5
TILE = 32


def _photograph(name: str) -> Picture:
    return np.asarray(getattr(skimage.data, name)(), dtype=np.uint8)


def _noisy(picture: Picture, sigma: float) -> Picture:
    noise = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def _jpeg(picture: Picture) -> Picture:
    (_, encoded) = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _patched(picture: Picture) -> Picture:
    patched = picture.copy()
    patched[101:165, 33:97] = 0
    return patched


DISTORTIONS: dict[str, Callable[[Picture], Picture]] = {
    "noise 2": lambda picture: _noisy(picture, 2),
    "noise 64": lambda picture: _noisy(picture, 64),
    "brighter": lambda picture: np.clip(picture.astype(int) + 10, 0, 255).astype(np.uint8),
    "shifted": lambda picture: np.roll(picture, 2, axis=1),
    "jpeg": _jpeg,
    "blurred": lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), dtype=np.uint8),
    "patched": _patched,
    "swapped": lambda picture: picture[..., ::-1],
    "negative": lambda picture: 255 - picture,
    "flat": lambda picture: np.full_like(picture, 128),
}


def _skimage_map(actual: NDArray[Any], expected: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    mean, full = skimage.metrics.structural_similarity(  # type: ignore[no-untyped-call]
        actual,
        expected,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(mean), np.asarray(full[RADIUS:-RADIUS, RADIUS:-RADIUS].mean(axis=2), dtype=np.float64)


def _value(metric: Metric, actual: NDArray[Any], expected: NDArray[Any]) -> float:
    return metric.measure(actual, expected, data_range=255).value


# --- published numbers -----------------------------------------------------------------------------------------------


def _camera_pair() -> tuple[Picture, Picture]:
    """The pair of scikit-image's own tests, whose PSNR and SSIM were computed by IPOL's independent programs."""
    grey = _photograph("camera")
    noise = 20 * np.random.RandomState(5).randn(*grey.shape)
    noisy = np.clip(grey + noise, 0, 255).astype(np.uint8)
    return np.dstack([noisy] * 3), np.dstack([grey] * 3)


def test_psnr_is_the_one_ipol_published() -> None:
    assert _value(psnr_db, *_camera_pair()) == pytest.approx(22.409353363576034, abs=5e-5)


def test_ssim_is_the_one_ipol_published() -> None:
    assert _value(ssim, *_camera_pair()) == pytest.approx(0.357959091663361, abs=5e-4)


def test_ssim_of_the_published_pair_has_not_moved() -> None:
    assert _value(ssim, *_camera_pair()) == pytest.approx(0.3579642362365826, abs=1e-12)


def test_psnr_is_the_one_in_the_documentation_of_torchmetrics() -> None:
    actual = np.dstack([np.array([[0, 1], [2, 3]], np.uint8)] * 3)
    expected = np.dstack([np.array([[3, 2], [1, 0]], np.uint8)] * 3)
    value = psnr_db.measure(actual, expected, data_range=3).value
    assert value == pytest.approx(10 * math.log10(9 / 5), abs=1e-12)
    assert value == pytest.approx(2.5527, abs=5e-5)


# --- scikit-image on photographs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("distortion", DISTORTIONS)
@pytest.mark.parametrize("photograph", ["astronaut", "chelsea", "coffee"])
def test_photographs_get_the_numbers_of_scikit_image(photograph: str, distortion: str) -> None:
    expected = _photograph(photograph)
    actual = DISTORTIONS[distortion](expected)
    mean, full = _skimage_map(actual, expected)
    error = skimage.metrics.mean_squared_error(actual, expected)
    ratio = skimage.metrics.peak_signal_noise_ratio(actual, expected, data_range=255)  # type: ignore[no-untyped-call]
    assert _value(ssim, actual, expected) == pytest.approx(mean, abs=1e-9)
    assert _value(mse, actual, expected) == pytest.approx(error, rel=1e-12)
    assert _value(psnr_db, actual, expected) == pytest.approx(ratio, abs=1e-9)
    _assert_worst_tile(actual, expected, full)


@given(st.data(), st.integers(11, 23), st.integers(11, 23))
@settings(max_examples=40, derandomize=True)
def test_small_pictures_get_the_numbers_of_scikit_image(data: st.DataObject, height: int, width: int) -> None:
    pictures = arrays(np.uint8, (height, width, 3))
    actual, expected = data.draw(pictures), data.draw(pictures)
    mean, full = _skimage_map(actual, expected)
    assert _value(ssim, actual, expected) == pytest.approx(mean, abs=1e-9)
    _assert_worst_tile(actual, expected, full)


@pytest.mark.parametrize("height", [11, 41, 42, 43, 73, 74, 75, 106])
@pytest.mark.parametrize("width", [11, 42, 43, 74, 80])
def test_tiles_cover_pictures_of_any_size(height: int, width: int) -> None:
    generator = np.random.default_rng(height * 1000 + width)
    actual, expected = generator.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    _assert_worst_tile(actual, expected, _skimage_map(actual, expected)[1])


def _assert_worst_tile(actual: Picture, expected: Picture, full: NDArray[np.float64]) -> None:
    """Compare with a plain loop over the documented tiles of scikit-image's map."""
    found = ssim_tile_min.measure(actual, expected, data_range=255)
    means = {}
    for top in _starts(full.shape[0]):
        for left in _starts(full.shape[1]):
            tile = full[top : top + TILE, left : left + TILE]
            right, bottom = left + tile.shape[1] - 1, top + tile.shape[0] - 1
            place = f"tile x={left + RADIUS}..{right + RADIUS} y={top + RADIUS}..{bottom + RADIUS}"
            means[place] = float(tile.mean())
    assert found.value == pytest.approx(min(means.values()), abs=1e-9)
    assert means[found.where] == pytest.approx(found.value, abs=1e-9)


def _starts(length: int) -> list[int]:
    return sorted({*range(0, max(length - TILE, 0), 4), max(length - TILE, 0)})


# --- the same bits everywhere ----------------------------------------------------------------------------------------


def _plain_map(actual: Picture, expected: Picture) -> NDArray[np.float64]:
    """The documented arithmetic, one rounding for each operation: numpy neither contracts nor reorders these."""
    x, y = actual.astype(np.float64), expected.astype(np.float64)
    fields = [x + y, x - y, (x + y) * (x + y), (x - y) * (x - y)]
    w = _windows._WEIGHTS
    for axis in (1, 0):
        size = x.shape[axis] - 2 * RADIUS
        for number, field in enumerate(fields):
            taps = [np.take(field, range(k, k + size), axis) for k in range(2 * RADIUS + 1)]
            smooth = w[0] * taps[RADIUS]
            for k in range(1, RADIUS + 1):
                smooth = smooth + w[k] * (taps[RADIUS - k] + taps[RADIUS + k])
            fields[number] = smooth
    total, apart = fields[0] * fields[0], fields[1] * fields[1]
    of_total, of_apart = fields[2] - total, fields[3] - apart
    c1, c2 = 2 * (0.01 * 255) ** 2, 2 * (0.03 * 255) ** 2
    return np.asarray(
        ((total - apart + c1) * (of_total - of_apart + c2)) / ((total + apart + c1) * (of_total + of_apart + c2))
    )


def _added(values: NDArray[np.float64]) -> float:
    """From the first to the last, as one would add them on paper."""
    total = 0.0
    for value in values.ravel().tolist():
        total += value
    return total


def _added_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Neighbouring rows of a map, added to nothing one after the other."""
    total = np.zeros(rows.shape[1:])
    for row in rows:
        total = total + row
    return total


def _group_sums(plain: NDArray[np.float64]) -> list[float]:
    """Sums of four rows each: by strips of 256 pixels, in a strip by cells of four pixels, in a cell from the left."""
    sums = []
    for top in range(0, len(plain), 4):
        columns = _added_rows(plain[top : top + 4])
        total, left = 0.0, 0
        while left < len(columns):
            right = left + 256 if len(columns) - left >= 256 + 32 else len(columns)
            strip = columns[left:right]
            total += _added(np.array([_added(strip[k : k + 4]) for k in range(0, len(strip), 4)]))
            left = right
        sums.append(total)
    return sums


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 45), (43, 43), (46, 61), (75, 50), (48, 620)])
def test_the_compiled_loops_round_as_plain_arithmetic_does(height: int, width: int) -> None:
    generator = np.random.default_rng(height)
    expected = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    actual = np.clip(expected + generator.normal(0, 3, expected.shape), 0, 255).astype(np.uint8)
    actual[height // 2 :, width // 2 :] = expected[height // 2 :, width // 2 :]
    plain = _plain_map(actual, expected)
    groups = _group_sums(plain)
    assert _value(ssim, actual, expected) == math.fsum(groups) / plain.size
    # The mean of many rows may hide a last bit; the groups do not.
    rows, columns, _ = plain.shape
    cells, totals = np.zeros((-(-rows // 4) + 8, -(-columns // 4) + 8)), np.empty(-(-rows // 4))
    mine, theirs = (each.reshape(height, -1) for each in (actual, expected))
    constants, room = ((0.01 * 255) ** 2, (0.03 * 255) ** 2), np.empty((4, _loops.ROOM), np.float32)
    _kernels.similarity_rows(mine, theirs, 0, rows, _windows._WEIGHTS, constants, room, cells, totals)
    assert totals.tolist() == groups
    if rows > 32 and columns > 32:
        ends = plain[rows - 32 : rows - 28, columns - 4 :]
        assert cells[-8, -1] == _added(_added_rows(ends))


def test_rows_that_are_equal_and_skipped_change_no_bit() -> None:
    expected = _photograph("astronaut")[:150, :40]
    actual = expected.copy()
    actual[70:72, 10] ^= 1
    plain = _plain_map(actual, expected)
    assert np.count_nonzero(np.all(plain == 1, axis=(1, 2))) > 100
    assert _value(ssim, actual, expected) == math.fsum(_group_sums(plain)) / plain.size


def test_the_weights_are_those_of_the_formula() -> None:
    bell = [(-((Decimal(k) / Decimal("1.5")) ** 2) / 2).exp(Context(prec=40)) for k in range(RADIUS + 1)]
    whole = bell[0] + 2 * sum(bell[1:])
    assert _windows._WEIGHTS.tolist() == [float(each / whole) for each in bell]


def test_the_decibels_are_rounded_correctly() -> None:
    expected = np.zeros((7, 7, 3), np.uint8)
    for step in range(1, 256):
        actual = expected.copy()
        actual[0, 0, 0] = step
        ratio = Fraction(65025) / Fraction(step * step, 147)
        exact = (Decimal(65025 / float(Fraction(step * step, 147))).log10(Context(prec=40))) * 10
        assert _value(psnr_db, actual, expected) == float(exact)
        assert float(exact) == pytest.approx(10 * math.log10(ratio), abs=1e-12)


def test_what_metrics_share_is_made_once_for_a_pair_that_nobody_can_change() -> None:
    made: list[tuple[float, ...]] = []

    @_pairs.once_for_a_pair
    def make(actual: NDArray[Any], expected: NDArray[Any], *more: float) -> int:
        del actual, expected
        made.append(more)
        return len(made)

    loose = [np.zeros((2, 2, 3), np.uint8) for _ in "ab"]
    fixed = [np.ndarray((2, 2, 3), np.uint8, bytes(12)) for _ in "ab"]
    for pair in (loose, [fixed[0], loose[0]], [each[:] for each in fixed]):
        assert make(*pair) != make(*pair)
    with pytest.raises(ValueError, match="WRITEABLE"):
        fixed[0].flags.writeable = True
    assert make(*fixed) == make(*fixed)
    assert make(*fixed, 255.0) != make(*fixed, 2.0)
    assert make(*fixed[::-1]) != make(*fixed)
    first = make(*fixed)
    fixed[1] = np.ndarray((2, 2, 3), np.uint8, bytes(12))
    assert make(*fixed) != first


def test_a_whole_battery_makes_the_map_and_the_differences_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counting(work: Callable[[int, int], Any], rows: int) -> list[Any]:
        calls.append(work.__module__)
        return _pairs.in_bands(work, rows)

    for module in (_windows, _differences):
        monkeypatch.setattr(module, "in_bands", counting)
    expected = _photograph("astronaut")[:64, :64]
    found = measure(expected ^ np.uint8(1), expected, subject="image", metrics=plugins.names("metrics"))
    assert len(found) > 8
    assert sorted(calls) == ["harness.metrics._differences", "harness.metrics._windows"]


# --- windows that slide ----------------------------------------------------------------------------------------------


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
@settings(max_examples=60, derandomize=True)
def test_the_fullest_window_is_the_one_that_counting_each_finds(height: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    expected = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = generator.integers(-10, 11, expected.shape)
    actual = np.clip(expected.astype(int) + noise, 0, 255).astype(np.uint8)
    marked = (np.abs(actual.astype(int) - expected) > 8).any(axis=2)
    sides = min(TILE, height), min(TILE, width)
    counts = np.lib.stride_tricks.sliding_window_view(marked, sides).sum(axis=(2, 3))
    top, left = (int(each) for each in np.unravel_index(int(counts.argmax()), counts.shape))
    where = f"window x={left}..{left + sides[1] - 1} y={top}..{top + sides[0] - 1}" if counts.any() else ""
    found = worst_window_count.measure(actual, expected, data_range=255)
    assert (found.value, found.where) == (counts.max(), where)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32), st.sampled_from([np.uint8, np.float32]))
@settings(max_examples=60, derandomize=True)
def test_the_worst_block_is_the_one_that_slicing_finds(height: int, width: int, seed: int, kind: type) -> None:
    generator = np.random.default_rng(seed)
    actual: NDArray[Any] = generator.integers(0, 256, (height, width, 3)).astype(kind)
    expected: NDArray[Any] = generator.integers(0, 256, (height, width, 3)).astype(kind)
    sizes = np.abs(actual.astype(float) - expected.astype(float))
    blocks = {
        (x, y): float(sizes[y : y + 16, x : x + 16].mean()) for y in range(0, height, 16) for x in range(0, width, 16)
    }
    found = worst_block_diff.measure(actual, expected, data_range=255)
    assert found.value == pytest.approx(max(blocks.values()), rel=1e-12)
    assert found.parts["median"] == pytest.approx(float(np.median(list(blocks.values()))), rel=1e-12)
    x, y = max(blocks, key=lambda place: blocks[place])
    assert found.where == f"block x={x}..{min(x + 16, width) - 1} y={y}..{min(y + 16, height) - 1}"


# --- latents ---------------------------------------------------------------------------------------------------------


def _exact_vectors(actual: NDArray[Any], expected: NDArray[Any]) -> tuple[float, float]:
    """Relative norm of the difference and one minus the cosine, to forty digits before rounding."""
    with localcontext(prec=40):
        mine, theirs = (
            [Decimal(value) for value in each.astype(float).ravel().tolist()] for each in (actual, expected)
        )
        squares = sum(((m - t) ** 2 for m, t in zip(mine, theirs, strict=True)), Decimal(0))
        sizes = [sum((value**2 for value in side), Decimal(0)).sqrt() for side in (mine, theirs)]
        product = sum((m * t for m, t in zip(mine, theirs, strict=True)), Decimal(0))
        return float(squares.sqrt() / sizes[1]), float(1 - product / (sizes[0] * sizes[1]))


@pytest.mark.parametrize("apart", [1e-6, 1e-4, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_latents_get_the_numbers_of_exact_arithmetic(apart: float, kind: type[np.floating[Any]]) -> None:
    generator = np.random.default_rng(3)
    expected = generator.normal(0, 1, (1, 16, 8, 8))
    actual = (expected + apart * generator.normal(0, 1, expected.shape)).astype(kind)
    pair = actual, expected.astype(kind)
    for metric, exact in zip((relative_l2, cosine_distance), _exact_vectors(*pair), strict=True):
        assert metric.measure(*pair, data_range=math.nan).value == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, "latents"])
def test_relative_errors_are_those_of_exact_fractions(kind: Any) -> None:
    generator = np.random.default_rng(5)
    pair = [generator.integers(0, 9, (6, 7, 3)).astype(np.float32 if kind == "latents" else kind) for _ in range(2)]
    mine, theirs = ([Fraction(value) for value in side.astype(float).ravel().tolist()] for side in pair)
    floor = Fraction(1, 2**14) if kind == "latents" else Fraction(1)
    data_range = math.nan if kind == "latents" else 255.0
    sizes = [abs(m - t) for m, t in zip(mine, theirs, strict=True)]
    errors = [size / max(abs(t), floor) for size, t in zip(sizes, theirs, strict=True)]
    exact = {
        relative_l1: sum(sizes) / sum(map(abs, theirs)),
        mean_relative_error: sum(errors) / len(errors),
        max_relative_error: max(errors),
        share_over_1_percent: Fraction(sum(error > Fraction(1, 100) for error in errors), len(errors)),
    }
    for metric, value in exact.items():
        assert metric.measure(*pair, data_range=data_range).value == pytest.approx(float(value), rel=1e-15)
    square = sum(size * size for size in sizes) / sum(t * t for t in theirs)
    assert relative_l2.measure(*pair, data_range=data_range).value == pytest.approx(math.sqrt(square), rel=1e-14)


def test_a_black_picture_is_divided_by_one_level_and_zero_latents_by_nothing() -> None:
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 10, np.uint8)
    for metric in (relative_l1, relative_l2, mean_relative_error, max_relative_error):
        assert metric.measure(grey, black, data_range=255).value == 10
    latents = np.zeros((1, 2, 2), np.float32)
    for metric in (relative_l1, mean_relative_error, max_relative_error, share_over_1_percent):
        assert metric.measure(latents, latents.copy(), data_range=math.nan).value == 0
        with pytest.raises(UndefinedMetric, match="zero"):
            metric.measure(latents + 1, latents, data_range=math.nan)


def test_pixels_are_counted_that_are_off_by_more_than_a_hundredth_of_the_range() -> None:
    expected = np.zeros((1, 10, 3), np.uint8)
    actual = expected.copy()
    actual[0, :4, 1] = 2, 3, 3, 255
    assert _value(pixels_over_1_percent, actual, expected) == 0.3


@given(st.lists(st.floats(0, 1e60), min_size=1, max_size=60), st.integers(0, 40))
@settings(max_examples=150, derandomize=True)
def test_sums_are_exact_in_any_order(values: list[float], tiny: int) -> None:
    # So small beside the others that a plain sum loses it, and at half a step, where only an exact sum rounds rightly.
    array = np.array([*values, *[max(values) * 2.0**-54] * tiny])
    assert exact_sum(array) == exact_sum(array[::-1]) == math.fsum(array.tolist())


def test_a_tiny_angle_is_not_lost() -> None:
    expected = np.random.default_rng(3).normal(0, 1, (1, 16, 8, 8))
    actual = expected.copy()
    actual.flat[0] += 1e-9
    cosine = float(np.sum(actual * expected) / (np.linalg.norm(actual) * np.linalg.norm(expected)))
    assert abs(1 - cosine) < 1e-15  # what subtracting from 1 leaves of it: nothing, or rounding
    value = cosine_distance.measure(actual, expected, data_range=math.nan).value
    assert value == pytest.approx(_exact_vectors(actual, expected)[1], rel=1e-4)
    assert 1e-22 < value < 1e-20


def test_latents_of_zeros_have_no_direction_and_are_no_yardstick() -> None:
    zeros, ones = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    for metric in (relative_l2, cosine_distance):
        assert metric.measure(zeros, zeros.copy(), data_range=math.nan).value == 0
        with pytest.raises(UndefinedMetric, match="zero"):
            metric.measure(ones, zeros, data_range=math.nan)
        with pytest.raises(ImageError, match="have no values"):
            metric.measure(zeros[:0], zeros[:0], data_range=math.nan)
    assert relative_l2.measure(zeros, ones, data_range=math.nan).value == 1
    assert cosine_distance.measure(-ones, ones, data_range=math.nan).value == 2
    assert cosine_distance.measure(2 * ones, ones, data_range=math.nan).value == 0


# --- sums by hand ----------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=80, derandomize=True)
def test_differences_agree_with_exact_fractions(data: st.DataObject, height: int, width: int) -> None:
    pictures = arrays(np.uint8, (height, width, 3))
    actual, expected = data.draw(pictures), data.draw(pictures)
    signed = [int(a) - int(e) for a, e in zip(actual.ravel(), expected.ravel(), strict=True)]
    sizes = sorted(abs(difference) for difference in signed)
    count = len(sizes)
    square = Fraction(sum(size * size for size in sizes), count)
    assert _value(mse, actual, expected) == float(square)
    assert _value(mean_abs_diff, actual, expected) == sum(sizes) / count
    assert _value(max_abs_diff, actual, expected) == sizes[-1]
    kept = [size for size in sizes if 100 * sum(other <= size for other in sizes) >= 99 * count]
    assert _value(p99_abs_diff, actual, expected) == min(kept)
    ratio = 10 * math.log10(65025 / square) if square else math.inf
    assert _value(psnr_db, actual, expected) == pytest.approx(ratio, abs=1e-12)
    channels = [Fraction(sum(signed[channel::3]), count // 3) for channel in range(3)]
    found = signed_mean_diff.measure(actual, expected, data_range=255)
    assert list(found.parts.values()) == [float(channel) for channel in channels]
    assert abs(found.value) == float(max(map(abs, channels)))
    assert found.value in found.parts.values()


@given(st.data(), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=80, derandomize=True)
def test_the_place_of_the_largest_difference_is_the_first_one(data: st.DataObject, height: int, width: int) -> None:
    pictures = arrays(np.uint8, (height, width, 3), elements=st.integers(0, 3))
    actual, expected = data.draw(pictures), data.draw(pictures)
    sizes = {
        (y, x, channel): abs(int(actual[y, x, channel]) - int(expected[y, x, channel]))
        for y in range(height)
        for x in range(width)
        for channel in range(3)
    }
    y, x, channel = next(place for place, size in sizes.items() if size == max(sizes.values()))
    place = f"x={x} y={y} channel={'rgb'[channel]}" if any(sizes.values()) else ""
    assert max_abs_diff.measure(actual, expected, data_range=255).where == place


@pytest.mark.parametrize(
    ("width", "damaged", "value"),
    [(100, 3, 0.0), (100, 4, 9.0), (1, 1, 9.0), (33, 1, 9.0), (34, 1, 0.0), (34, 2, 9.0)],
)
def test_p99_is_blind_up_to_one_value_in_a_hundred(width: int, damaged: int, value: float) -> None:
    expected = np.zeros((1, width, 3), np.uint8)
    actual = expected.copy()
    actual.reshape(-1)[:damaged] = 9
    assert _value(p99_abs_diff, actual, expected) == value


def test_float_pictures_are_measured_on_their_own_scale() -> None:
    expected = np.full((4, 4, 3), -1, np.float32)
    actual = expected.copy()
    actual[..., 2] += np.float32(0.5)
    assert mse.measure(actual, expected, data_range=2).value == pytest.approx(0.25 / 3, rel=1e-15)
    assert psnr_db.measure(actual, expected, data_range=2).value == pytest.approx(10 * math.log10(48), abs=1e-12)
    assert max_abs_diff.measure(actual, expected, data_range=2).value == 0.5
    found = signed_mean_diff.measure(actual, expected, data_range=2)
    assert (found.value, dict(found.parts)) == (0.5, {"r": 0.0, "g": 0.0, "b": 0.5})


def test_half_precision_is_widened_before_it_is_subtracted() -> None:
    actual, expected = np.full((2, 1, 1, 3), 60000, np.float16)
    expected = -expected
    assert _value(max_abs_diff, actual, expected) == 2 * float(np.float16(60000))
    assert _value(mse, actual, expected) == (2 * float(np.float16(60000))) ** 2


# --- what the worst tile is for --------------------------------------------------------------------------------------


def _with_noise_block(x: int, y: int) -> tuple[Picture, Picture]:
    expected = _photograph("astronaut")
    actual = expected.copy()
    actual[y : y + 32, x : x + 32] = np.random.default_rng(7).integers(0, 256, (32, 32, 3))
    return actual, expected


@pytest.mark.parametrize(("x", "y"), [(101, 37), (100, 100), (480, 480), (0, 0)])
def test_a_block_of_noise_passes_the_means_and_not_the_worst_tile(x: int, y: int) -> None:
    actual, expected = _with_noise_block(x, y)
    assert 30 < _value(psnr_db, actual, expected) < 34
    assert 0.99 < _value(ssim, actual, expected) < 0.998
    found = ssim_tile_min.measure(actual, expected, data_range=255)
    assert found.value < 0.35
    assert _overlaps(found.where, x, y)


@pytest.mark.parametrize("x", [5, 229, 230, 231, 232, 245, 255, 490])
@pytest.mark.parametrize("y", [37, 84, 243, 491])
def test_a_block_of_16_is_named_and_never_diluted_wherever_it_lies(x: int, y: int) -> None:
    """On an even ground the value is the same at any place: the whole of what it moves lies in one tile."""
    generator = np.random.default_rng(7)
    expected = np.full((512, 512, 3), 128, np.uint8)
    actual = expected.copy()
    actual[y : y + 16, x : x + 16] = generator.integers(0, 256, (16, 16, 3))
    centred = expected.copy()
    centred[13:29, 13:29] = actual[y : y + 16, x : x + 16]  # in the middle of the tile at the top left
    found = ssim_tile_min.measure(actual, expected, data_range=255)
    if min(x, y) >= 10 and max(x, y) <= 486:
        assert found.value == pytest.approx(ssim_tile_min.measure(centred, expected, data_range=255).value, rel=1e-12)
    assert found.value < 0.65  # 0.59 and 0.63 at the edge, where windows do not reach all around it
    assert _value(ssim, actual, expected) > 0.997
    assert _overlaps(found.where, x, y, 16)
    worst = worst_window_count.measure(actual, expected, data_range=255)
    assert worst.value == np.count_nonzero((np.abs(actual.astype(int) - 128) > 8).any(axis=2))
    assert _overlaps(worst.where, x, y, 16)


@pytest.mark.parametrize(("x", "y"), [(245, 245), (117, 85), (120, 100)])
def test_a_block_that_used_to_straddle_four_tiles_is_as_bad_as_any(x: int, y: int) -> None:
    actual, expected = _with_noise_block(x, y)
    found = ssim_tile_min.measure(actual, expected, data_range=255)
    assert found.value < 0.2
    assert _overlaps(found.where, x, y)


def _overlaps(where: str, x: int, y: int, side: int = 32) -> bool:
    spans = dict(part.split("=") for part in where.split()[1:])
    (left, right), (top, bottom) = (map(int, spans[axis].split("..")) for axis in "xy")
    return left < x + side and right >= x and top < y + side and bottom >= y


# --- where there is no value -----------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=80, derandomize=True)
def test_below_the_window_there_is_no_similarity(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    for metric in (ssim, ssim_tile_min):
        if min(height, width) < 11:
            with pytest.raises(UndefinedMetric, match=f"{width} x {height} pixels and the window 11 x 11"):
                metric.measure(picture, picture, data_range=255)
        else:
            assert metric.measure(picture, picture, data_range=255).value == 1.0


@pytest.mark.parametrize("data_range", [0, -255, math.inf, math.nan])
@pytest.mark.parametrize("metric", [psnr_db, ssim, ssim_tile_min])
def test_a_range_that_is_none_gives_no_value(metric: Metric, data_range: float) -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UndefinedMetric, match="data range"):
        metric.measure(picture, picture + np.uint8(1), data_range=data_range)
