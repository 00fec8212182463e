"""The structural similarity map behind ``ssim`` and ``ssim_tile_min``, summed up while it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import UndefinedMetric
from harness.language import recorded
from harness.metrics._differences import require_comparable, require_range
from harness.metrics._loops import ROOM, loops
from harness.metrics._pairs import in_bands, once_for_a_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

RADIUS = 5
"""Pixels from the middle of the window to its edge; the map is smaller than the picture by twice as much."""

WINDOW = 2 * RADIUS + 1
"""Side of the window in pixels; a picture smaller than that has no map."""

MAP_SPEC = f"gauss{WINDOW}-1.5:rgb-mean:k1=.01,k2=.03:population:valid:sum-and-difference"
"""Identifier of the map's exact definition, down to the order of its arithmetic."""

TILE = 32
"""Side of a tile in map entries."""

STEP = 4
"""Distance of neighbouring tiles in map entries."""

_WEIGHTS = np.array(
    [
        0.26601172486179436,
        0.2130055377112537,
        0.10936068950970002,
        0.03600077212843082,
        0.007598758135239184,
        0.0010283800844791099,
    ]
)
"""``exp(-(k / 1.5)^2 / 2)`` for distances ``k`` from 0 to 5, divided by the sum over -5 to 5, rounded to nearest.

Written out because no two libraries need agree on the last bit of an exponential.
"""
_K1 = 0.01
_K2 = 0.03


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """A structural similarity map by its means."""

    mean: float
    """Mean over all windows and channels."""
    tops: list[int]
    """First map row of the tiles, ascending."""
    lefts: list[int]
    """First map column of the tiles, ascending."""
    tiles: NDArray[np.float64]
    """Mean of each tile and all channels, ``[len(tops), len(lefts)]``; a tile has at most 32 rows and columns."""


@once_for_a_pair
def similarity(actual: NDArray[Any], expected: NDArray[Any], data_range: float) -> Similarity:
    """Structural similarity around each pixel, for each channel, at most 1; its mean and the means of its tiles.

    With ``m`` a Gaussian mean over 11 by 11 pixels (sigma 1.5), ``v`` the variance and ``c`` the covariance under the
    same weights (population, not sample), ``C1 = (0.01 range)^2`` and ``C2 = (0.03 range)^2``::

        (2 m_a m_e + C1) (2 c + C2) / ((m_a^2 + m_e^2 + C1) (v_a + v_e + C2))

    Only windows that lie wholly inside the picture count, so map entry ``[i, j]`` belongs to pixel ``[i + 5, j + 5]``.
    It is computed from ``a + e`` and ``a - e`` in float64, the same bits on every machine; a window that is equal in
    both pictures has exactly 1.
    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE Transactions on Image Processing 13(4),
    2004; the same numbers as scikit-image with Gaussian weights, sigma 1.5 and population covariance, to 1e-9.

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a side is shorter than 11 pixels, the range is not positive, or there are non-finite values.
    """
    require_comparable(actual, expected)
    require_range(data_range)
    height, width, channels = actual.shape
    if min(height, width) < WINDOW:
        raise UndefinedMetric(
            recorded(
                "no value, because the picture is {width:d} x {height:d} pixels and the window {window:d} x "
                "{window:d}; make larger pictures or use a metric without a window.",
                width=width,
                height=height,
                window=WINDOW,
            )
        )
    exact = actual.dtype == np.uint8
    actual_rows, expected_rows = (
        np.ascontiguousarray(picture, dtype=np.uint8 if exact else np.float64).reshape(height, -1)
        for picture in (actual, expected)
    )
    rows, columns = height - 2 * RADIUS, width - 2 * RADIUS
    below, aside, edge = -(-rows // STEP), -(-columns // STEP), TILE // STEP
    cells, totals = np.zeros((below + edge, aside + edge)), np.empty(below)
    constants = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2

    over = loops(actual.size)

    def fill(top: int, bottom: int) -> None:
        fields = np.empty((4, ROOM), np.float32 if exact else np.float64)
        over.similarity_rows(actual_rows, expected_rows, top, bottom, _WEIGHTS, constants, fields, cells, totals)

    in_bands(fill, rows)
    # math.fsum is exact, so its result has no order.
    mean = math.fsum(totals.tolist()) / (rows * columns * channels)
    wide = _tile_sums(np.ascontiguousarray(cells.T), columns)
    tiles = _tile_sums(np.ascontiguousarray(wide.T), rows) / (min(TILE, rows) * min(TILE, columns) * channels)
    tiles.flags.writeable = False
    return Similarity(mean=mean, tops=_starts(rows), lefts=_starts(columns), tiles=tiles)


def _starts(length: int) -> list[int]:
    """Where tiles begin: every fourth entry, and one that ends at the edge."""
    last = max(length - TILE, 0)
    return [*range(0, last, STEP), last]


def _tile_sums(cells: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sums over the cells of each tile, down the first axis of ``cells``, whose last 8 rows end at the edge."""
    below = len(cells) - TILE // STEP
    if length <= TILE:
        return _runs(cells[:below], below)
    inner = _runs(cells[: length // STEP], TILE // STEP)
    # The last cells make the last tile where the others do not reach the edge.
    return np.vstack([inner, _runs(cells[below:], TILE // STEP)]) if length % STEP else inner


def _runs(parts: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sums of so many neighbouring rows, added one after the other so that the order is fixed."""
    runs = parts[: len(parts) - length + 1].copy()
    for k in range(1, length):
        runs += parts[k : len(parts) - length + 1 + k]
    return runs
