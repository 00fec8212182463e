"""Whether an image is fit to be compared: two images that show nothing are equal and prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.language import recorded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Doubles = NDArray[np.float64]

FAINT = 4.0
"""Levels, standard deviation of a channel: with no more, and without structure, an image shows nothing."""

_UNRELATED = 0.5
"""Mean squared step to the next pixel, of twice the variance, from which on what little differs is noise."""

_FIRST_ROWS = 64
_FAR_BELOW = 0.7
"""Share of what is asked for that the first rows have at least where all rows do."""

_ROWS_IN_32_BITS = 2**31 // 255**2


def shows_nothing(image: Image) -> str:
    """Why an image ``uint8[H, W, 3]`` shows nothing, in words; empty where it shows something.

    One colour, or nearly one colour where what little differs is noise. Faint shapes are shapes: neighbouring pixels
    have to do with each other.

    >>> shows_nothing(np.zeros((64, 64, 3), np.uint8))
    'every pixel is 0, 0, 0'
    >>> shows_nothing(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    ''
    """
    spreads = spread(image)
    if not spreads.any():
        return recorded("every pixel is {colour:s}", colour=", ".join(map(str, image[0, 0].tolist())))
    if spreads.max() > FAINT or min(roughness(image)) < _UNRELATED:
        return ""
    middle = ", ".join(str(level) for level in np.median(image, axis=(0, 1)).astype(int).tolist())
    return recorded(
        "nearly every pixel is {colour:s}: there is nothing but noise with a standard deviation of {spread:.2g} levels",
        colour=middle,
        spread=float(spreads.max()),
    )


def by_channel(values: NDArray[Any]) -> Doubles:
    """Sum of each channel of whole numbers ``[H, W, C]``; exact."""
    # 32 bits hold the sum of as many squares, and are summed in a third of the time.
    wide = np.int32 if len(values) <= _ROWS_IN_32_BITS else np.int64
    rows = values.reshape(len(values), -1).sum(axis=0, dtype=wide)
    return np.asarray(rows.reshape(-1, values.shape[2]).sum(axis=0, dtype=np.int64), dtype=np.float64)


def spread(picture: Image) -> Doubles:
    """Standard deviation of each channel of ``uint8[H, W, C]``; exactly 0 for one colour."""
    count = picture.shape[0] * picture.shape[1]
    total, squared = by_channel(picture), by_channel(np.square(picture, dtype=np.uint16))
    return np.asarray(np.sqrt(np.maximum(count * squared - total * total, 0)) / count)


def roughness(values: NDArray[np.uint8] | NDArray[np.int16], at_least: float = 0.0) -> tuple[float, float]:
    """Mean squared step to the next pixel, down and across, of twice the variance: 1 where neighbours are unrelated.

    ``values`` is ``[H, W, 3]``; 1 where all are equal or a side has one pixel. Where that of the first rows is far
    below ``at_least`` the rest is not looked at.
    """
    first = values[:_FIRST_ROWS]
    if at_least and len(values) > len(first) and min(estimate := roughness(first)) < _FAR_BELOW * at_least:
        return estimate
    rows = values.reshape(len(values), -1).astype(np.float32)
    means = values.mean(axis=(0, 1), dtype=np.float64)
    variance = _mean_square(rows) - float(np.mean(means**2))
    if variance <= 0 or min(values.shape[:2]) == 1:
        return 1.0, 1.0
    down, across = _mean_square(rows[1:] - rows[:-1]), _mean_square(rows[:, 3:] - rows[:, :-3])
    return down / (2 * variance), across / (2 * variance)


def _mean_square(rows: NDArray[np.float32]) -> float:
    return float(np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64)) / rows.size
