"""Pairs of pictures that pass for equal with people or with usual gates, and what must be seen in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from harness import plugins
from harness.compare.comparator import conversion, measure
from harness.contracts import DATA_RANGE
from harness.errors import ImageError, UndefinedMetric
from harness.images import read_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


METRICS = {
    name: metric for name in plugins.names("metrics") if "image" in (metric := plugins.load("metrics", name)).SUBJECTS
}


def _photograph() -> NDArray[np.uint8]:
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)  # type: ignore[no-untyped-call]


def _measured(actual: NDArray[Any], expected: NDArray[Any]) -> dict[str, float]:
    return {
        name: metric.measure(actual, expected, data_range=DATA_RANGE["image"]).value for name, metric in METRICS.items()
    }


def _where(name: str, actual: NDArray[Any], expected: NDArray[Any]) -> str:
    return METRICS[name].measure(actual, expected, data_range=DATA_RANGE["image"]).where


def test_shifted_by_a_pixel() -> None:
    """Nobody sees it, and colours, histogram and mean stay the same: a wrong rounding of a crop or a resize."""
    expected = _photograph()
    values = _measured(np.roll(expected, 1, axis=1), expected)
    assert values["identical"] == 0
    assert values["signed_mean_diff"] == 0
    assert values["psnr_db"] < 30
    assert values["ssim"] < 0.9
    assert values["max_abs_diff"] > 200


def test_channels_swapped() -> None:
    """On grey values it scores above 0.9, so a metric on brightness lets BGR pass for RGB."""
    expected = _photograph()
    actual = expected[..., ::-1]
    grey = [
        np.dstack([cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)] * 3)
        for picture in (actual, expected)
    ]
    assert _measured(grey[0], grey[1])["ssim"] > 0.9
    values = _measured(actual, expected)
    assert values["ssim"] < 0.85
    assert values["psnr_db"] < 15
    assert abs(values["signed_mean_diff"]) > 10


def test_one_value_off_by_one_level() -> None:
    """It rounds to SSIM 1.0000 and far over 100 dB, which people read as equal: the first sign of nondeterminism."""
    expected = _photograph()
    actual = expected.copy()
    actual[300, 200, 2] ^= 1
    values = _measured(actual, expected)
    assert f"{values['ssim']:.4f}" == "1.0000"
    assert values["identical"] == 0
    assert 100 < values["psnr_db"] < math.inf
    assert values["max_abs_diff"] == 1
    assert values["mse"] > 0
    assert _where("max_abs_diff", actual, expected) == "x=200 y=300 channel=b"


@pytest.mark.parametrize("both", [False, True])
def test_a_patch_that_is_not_a_number(*, both: bool) -> None:
    """No comparison with NaN is true, so ``max > limit`` passes it; means that skip NaN hide it altogether."""
    expected = np.random.default_rng(0).uniform(-1, 1, (64, 64, 3)).astype(np.float32)
    actual = expected.copy()
    actual[8:16, 8:16] = math.nan
    if both:
        expected = actual.copy()
    else:
        assert np.nanmax(np.abs(actual - expected)) == 0
    for name in set(METRICS) - {"identical"}:
        with pytest.raises(UndefinedMetric, match="192 NaN among the 12288 values of the actual picture"):
            METRICS[name].measure(actual, expected, data_range=2.0)
    assert METRICS["identical"].measure(actual, expected, data_range=2.0).value == float(both)


def test_different_in_transparency_only(tmp_path: Path) -> None:
    """Converted to RGB the two are equal, while a viewer shows an empty picture for one of them."""
    opaque, clear = (np.dstack([_photograph()[:64, :64], np.full((64, 64), alpha, np.uint8)]) for alpha in (255, 0))
    for name, picture in (("opaque.png", opaque), ("clear.png", clear)):
        Image.fromarray(picture).save(tmp_path / name)
    with Image.open(tmp_path / "opaque.png") as one, Image.open(tmp_path / "clear.png") as other:
        assert one.convert("RGB").tobytes() == other.convert("RGB").tobytes()
    assert np.array_equal(read_picture(tmp_path / "opaque.png"), opaque[..., :3])
    with pytest.raises(ImageError, match="transparent in 100 % of its pixels"):
        read_picture(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png", "white") == 255).all()


def test_another_size() -> None:
    """Resized to fit, it scores well, although the pipeline ignored the size it was asked for."""
    expected = _photograph()
    smaller = np.asarray(cv2.resize(expected, (496, 496), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    resized = np.asarray(cv2.resize(smaller, (512, 512), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    assert _measured(resized, expected)["ssim"] > 0.9
    for metric in METRICS.values():
        with pytest.raises(ImageError, match="differ in size"):
            metric.measure(smaller, expected, data_range=255.0)


def test_one_pixel_that_could_be_spread() -> None:
    """Numpy would spread a picture of one pixel over the other and give a plausible number."""
    expected = _photograph()
    pixel = expected[:1, :1]
    assert (expected.astype(int) - pixel).shape == expected.shape
    for metric in METRICS.values():
        with pytest.raises(ImageError, match="differ in size"):
            metric.measure(pixel, expected, data_range=255.0)


def test_sixteen_bits_that_differ_in_the_lower_half(tmp_path: Path) -> None:
    """Pillow opens both as RGB and drops the lower byte, so different files decode to equal pictures."""
    upper = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint16) << 8
    cv2.imwrite(str(tmp_path / "low.png"), upper)
    cv2.imwrite(str(tmp_path / "high.png"), upper | np.uint16(255))
    with Image.open(tmp_path / "low.png") as low, Image.open(tmp_path / "high.png") as high:
        assert low.mode == high.mode == "RGB"
        assert low.tobytes() == high.tobytes()
    for name in ("low.png", "high.png"):
        with pytest.raises(ImageError, match="16 bits per channel"):
            read_picture(tmp_path / name)


def test_constant_grey_against_white() -> None:
    """Neither has any structure, so measures of structure or correlation find nothing amiss or divide by zero."""
    grey, white = (np.full((64, 64, 3), level, np.uint8) for level in (128, 255))
    values = _measured(grey, white)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 128 * 255 + c1) / (128**2 + 255**2 + c1)
    assert values["ssim"] == pytest.approx(luminance, abs=1e-9)
    assert values["ssim_tile_min"] == pytest.approx(luminance, abs=1e-9)
    assert values["psnr_db"] == pytest.approx(20 * math.log10(255 / 127), abs=1e-12)
    assert values["signed_mean_diff"] == -127
    assert values["max_abs_diff"] == values["p99_abs_diff"] == 127


def test_cut_off_instead_of_rounded() -> None:
    """Half a level is invisible and stays above 50 dB, yet every value leans the same way."""
    exact = np.random.default_rng(0).uniform(0, 255, (128, 128, 3))
    values = _measured(np.floor(exact).astype(np.uint8), np.rint(exact).astype(np.uint8))
    assert values["psnr_db"] > 50
    assert values["max_abs_diff"] == 1
    assert values["signed_mean_diff"] == pytest.approx(-0.5, abs=0.02)


def test_cut_off_where_half_precision_moves_whole_levels() -> None:
    """The mean of the pictures moves by itself, so only what the conversion added tells that it was biased."""
    generator = np.random.default_rng(0)
    exact = generator.uniform(-0.9, 0.9, (128, 128, 3)).astype(np.float32)
    coarse = (exact + 0.03 + generator.normal(0, 0.02, exact.shape)).astype(np.float32)
    expected, rounded, cut = (
        f((each + 1) * 127.5).astype(np.uint8) for f, each in ((np.rint, exact), (np.rint, coarse), (np.floor, coarse))
    )
    assert min(abs(_measured(each, expected)["signed_mean_diff"]) for each in (rounded, cut)) > 3
    reference = conversion(expected, exact)
    bias = [
        measure(conversion(each, coarse), reference, subject="conversion", metrics=["signed_mean_diff"])[0].value
        for each in (rounded, cut)
    ]
    assert bias == pytest.approx([0, -0.5], abs=0.02)


def test_the_negative() -> None:
    """In 8-bit arithmetic that wraps, a picture and its negative score 27.8 dB, as good as many passing pairs."""
    expected = _photograph()
    actual = 255 - expected
    wrapped = 10 * math.log10(65025 / float(np.mean((actual - expected) ** 2)))
    assert wrapped == pytest.approx(27.8, abs=0.1)
    assert _measured(actual, expected)["psnr_db"] == pytest.approx(3.81, abs=0.01)


def test_garbage_in_the_last_rows() -> None:
    """A grid that leaves out what does not fill a tile never looks at the border."""
    expected = _photograph()[:500, :500]
    actual = expected.copy()
    actual[-8:] = np.random.default_rng(0).integers(0, 256, (8, 500, 3))
    values = _measured(actual, expected)
    assert values["ssim"] > 0.97
    assert values["ssim_tile_min"] < 0.8
    assert _where("ssim_tile_min", actual, expected).endswith("y=463..494")
