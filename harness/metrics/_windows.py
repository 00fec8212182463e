"""The structural similarity map behind ``ssim`` and ``ssim_tile_min``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from harness.errors import UndefinedMetric
from harness.metrics._differences import require_comparable, require_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

RADIUS = 5
"""Pixels from the middle of the window to its edge; the map is smaller than the picture by twice as much."""

WINDOW = 2 * RADIUS + 1
"""Side of the window in pixels; a picture smaller than that has no map."""

MAP_SPEC = f"gauss{WINDOW}-1.5:rgb-mean:k1=.01,k2=.03:population:valid"
"""Identifier of the map's exact definition."""

_SIGMA = 1.5
_K1 = 0.01
_K2 = 0.03
_STRIP = 64
"""Rows of the map that are made at a time: the intermediate planes then stay in the cache."""


def similarity_map(actual: NDArray[Any], expected: NDArray[Any], data_range: float) -> NDArray[np.float64]:
    """Structural similarity around each pixel, averaged over the channels: ``float64[H - 10, W - 10]``, at most 1.

    With ``m`` a Gaussian mean over 11 by 11 pixels (sigma 1.5), ``v`` the variance and ``c`` the covariance under the
    same weights (population, not sample), ``C1 = (0.01 range)^2`` and ``C2 = (0.03 range)^2``::

        (2 m_a m_e + C1) (2 c + C2) / ((m_a^2 + m_e^2 + C1) (v_a + v_e + C2))

    Only windows that lie wholly inside the picture count, so entry ``[i, j]`` belongs to pixel ``[i + 5, j + 5]``.
    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE Transactions on Image Processing 13(4),
    2004; the same numbers as scikit-image with Gaussian weights, sigma 1.5 and population covariance.

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a side is shorter than 11 pixels, the range is not positive, or there are non-finite values.
    """
    require_comparable(actual, expected)
    require_range(data_range)
    height, width, channels = actual.shape
    if min(height, width) < WINDOW:
        raise UndefinedMetric(
            f"no value, because the picture is {width} x {height} pixels and the window {WINDOW} x {WINDOW}; "
            "make larger pictures or use a metric without a window."
        )
    similarity = np.empty((height - 2 * RADIUS, width - 2 * RADIUS))
    for top in range(0, similarity.shape[0], _STRIP):
        rows = slice(top, top + _STRIP + 2 * RADIUS)
        planes = (
            _channel_map(
                actual[rows, :, channel].astype(np.float64), expected[rows, :, channel].astype(np.float64), data_range
            )
            for channel in range(channels)
        )
        similarity[top : top + _STRIP] = sum(planes) / channels
    return similarity


def _channel_map(actual: NDArray[np.float64], expected: NDArray[np.float64], data_range: float) -> NDArray[np.float64]:
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_actual, mean_expected = _smooth(actual), _smooth(expected)
    product = mean_actual * mean_expected
    squares = mean_actual * mean_actual + mean_expected * mean_expected
    covariance = _smooth(actual * expected) - product
    # Each variance on its own: for equal pictures the sum is then exactly twice the covariance and the map exactly 1.
    variances = (_smooth(actual * actual) - mean_actual * mean_actual) + (
        _smooth(expected * expected) - mean_expected * mean_expected
    )
    return np.asarray((2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2)))


def _smooth(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = _gaussian()
    smoothed = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return np.asarray(smoothed[RADIUS:-RADIUS, RADIUS:-RADIUS], dtype=np.float64)


def _gaussian() -> NDArray[np.float64]:
    distance = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (distance / _SIGMA) ** 2)
    return np.asarray(weights / weights.sum())
