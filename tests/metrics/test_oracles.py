"""Every metric against numbers it did not make: published values, scikit-image, and sums done by hand."""

from __future__ import annotations

import doctest
import math
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

from harness.errors import UndefinedMetric
from harness.metrics import (
    _differences,
    max_abs_diff,
    mean_abs_diff,
    mse,
    p99_abs_diff,
    psnr_db,
    signed_mean_diff,
    ssim,
    ssim_tile_min,
)

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
@settings(max_examples=40, deadline=None, derandomize=True)
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
    whole, rest = divmod(length, TILE)
    starts = [number * TILE for number in range(whole)]
    return starts + ([length - TILE if whole else 0] if rest else [])


# --- sums by hand ----------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=80, deadline=None, derandomize=True)
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
@settings(max_examples=80, deadline=None, derandomize=True)
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


@pytest.mark.parametrize(("x", "y"), [(245, 245), (117, 85)])
def test_a_block_that_straddles_four_tiles_is_still_seen(x: int, y: int) -> None:
    actual, expected = _with_noise_block(x, y)
    found = ssim_tile_min.measure(actual, expected, data_range=255)
    assert found.value < 0.7
    assert _overlaps(found.where, x, y)


def _overlaps(where: str, x: int, y: int) -> bool:
    spans = dict(part.split("=") for part in where.removeprefix("tile ").split())
    (left, right), (top, bottom) = (map(int, spans[axis].split("..")) for axis in "xy")
    return left < x + 32 and right >= x and top < y + 32 and bottom >= y


def test_the_example_of_the_shared_arithmetic_holds() -> None:
    assert doctest.testmod(_differences) == (0, 1)


# --- where there is no value -----------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=80, deadline=None, derandomize=True)
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
