"""Differences between two pictures that cannot wrap around, and the guards every metric stands behind.

8-bit pictures are counted and summed exactly; float pictures are subtracted and summed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import ImageError, UndefinedMetric
from harness.language import recorded
from harness.metrics._loops import BLOCK, loops
from harness.metrics._pairs import in_bands, once_for_a_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = ("r", "g", "b")
"""Names of the channels, in the order of the last axis."""

_LARGEST = float(np.finfo(np.float32).max)


def require_same_size(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    """Refuse two arrays that are not pictures ``[H, W, 3]`` of one size; nothing is broadcast or resized.

    Raises:
        ImageError: the shapes differ, or are not those of a picture with at least one pixel.
    """
    if actual.shape != expected.shape:
        raise ImageError(
            f"the pictures differ in size: actual {list(actual.shape)}, expected {list(expected.shape)} "
            "(height, width, channels). Make both with the same width and height; pictures are never resized here."
        )
    if actual.ndim != len(CHANNELS) or actual.shape[2] != len(CHANNELS) or not actual.size:
        raise ImageError(
            f"the shape {list(actual.shape)} is not that of a picture; allowed is [height, width, 3] "
            "with at least one pixel. Convert to RGB first."
        )


def require_comparable(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    """Refuse two arrays whose differences would have no meaning.

    Raises:
        ImageError: sizes or types differ, or the type is neither uint8 nor a float of at most 64 bits.
        UndefinedMetric: a float picture holds NaN, infinity or a value beyond float32.
    """
    require_same_size(actual, expected)
    if actual.dtype != expected.dtype:
        raise ImageError(
            f"the pictures differ in type: actual {actual.dtype}, expected {expected.dtype}. "
            "Compare 8-bit with 8-bit and float with float."
        )
    if actual.dtype.name not in {"uint8", "float16", "float32", "float64"}:
        raise ImageError(f"pictures of type {actual.dtype} have no metric; allowed are uint8 and float16 to float64.")
    require_finite(actual, expected, of=recorded("picture"))


def require_finite(actual: NDArray[Any], expected: NDArray[Any], *, of: str) -> None:
    """Refuse values that no arithmetic can hold; ``of`` is what the arrays are, in one word.

    Raises:
        UndefinedMetric: there is NaN, infinity or a value beyond float32.
    """
    both = _odd_values(recorded("actual"), of, actual), _odd_values(recorded("expected"), of, expected)
    sides = [name for name in both if name]
    if len(sides) == 1:
        raise UndefinedMetric(
            recorded(
                "no value, because of {odd}. Look at what made them; an overflow in half precision is a frequent "
                "cause.",
                odd=sides[0],
            )
        )
    if sides:
        raise UndefinedMetric(
            recorded(
                "no value, because of {odd} and {others}. Look at what made them; an overflow in half precision is a "
                "frequent cause.",
                odd=sides[0],
                others=sides[1],
            )
        )


def require_range(data_range: float) -> None:
    """Refuse a data range that no picture can have.

    Raises:
        UndefinedMetric: it is not a positive finite number.
    """
    if not 0 < data_range < np.inf:
        raise UndefinedMetric(
            recorded(
                "no value, because the data range is {range}; allowed is a positive finite number.", range=data_range
            )
        )


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Everything the metrics say about the differences ``actual - expected`` of a pair, in the picture's units."""

    mean_size: float
    """Mean of the absolute differences of all values."""
    mean_square: float
    """Mean of the squared differences of all values."""
    p99: float
    """Number ``ceil(99 n / 100)``, from 1, of the ``n`` absolute differences in ascending order."""
    largest: float
    """Largest absolute difference of any value."""
    place: tuple[int, int, int]
    """Row, column and channel of the first value with the largest difference."""
    channel_means: tuple[float, float, float]
    """Mean difference of each channel, with its sign."""
    pixels: NDArray[Any]
    """Largest absolute difference of the three channels: ``[H, W]``, ``uint8`` for 8-bit pictures, else float64."""
    blocks: NDArray[Any]
    """Sums of the absolute differences of 16 by 16 pixels, less at the right and lower edge; ``int64`` or float64."""


@once_for_a_pair
def differences(actual: NDArray[Any], expected: NDArray[Any]) -> Differences:
    """Differences of two pictures ``[H, W, 3]``, in one pass over both.

    >>> found = differences(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8))
    >>> found.mean_square, found.channel_means
    (65025.0, (-255.0, -255.0, -255.0))

    Raises:
        ImageError: as for ``require_comparable``.
        UndefinedMetric: as for ``require_comparable``.
    """
    require_comparable(actual, expected)
    return _counted(actual, expected) if actual.dtype == np.uint8 else _computed(actual, expected)


def _counted(actual: NDArray[np.uint8], expected: NDArray[np.uint8]) -> Differences:
    """How often each difference occurs says everything exactly; all sums are integers."""
    height, width, _ = actual.shape
    actual_rows, expected_rows = (np.ascontiguousarray(picture).reshape(height, -1) for picture in (actual, expected))
    pixels = np.empty((height, width), np.uint8)

    over = loops(actual.size)

    def count(top: int, bottom: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        counts = np.zeros((len(CHANNELS), 2 * 255 + 1), np.int64)
        blocks = np.zeros((-(-height // BLOCK), -(-width // BLOCK)), np.int64)
        over.tally(actual_rows, expected_rows, top, bottom, counts, pixels, blocks)
        return counts, blocks

    counts, blocks = (np.sum(parts, axis=0) for parts in zip(*in_bands(count, height), strict=True))
    delta = np.arange(-255, 256)
    sizes = counts.sum(axis=0)[255:].copy()
    sizes[1:] += counts.sum(axis=0)[254::-1]
    number = actual.size
    row, column = np.unravel_index(int(np.argmax(pixels)), pixels.shape)
    values = np.abs(actual[row, column].astype(int) - expected[row, column].astype(int))
    pixels.flags.writeable = False
    red, green, blue = (int(channel @ delta) / (height * width) for channel in counts)
    return Differences(
        mean_size=int(sizes @ delta[255:]) / number,
        mean_square=int(sizes @ delta[255:] ** 2) / number,
        p99=float(np.searchsorted(np.cumsum(sizes), _rank(number))),
        largest=float(values.max()),
        place=(int(row), int(column), int(np.argmax(values))),
        channel_means=(red, green, blue),
        pixels=pixels,
        blocks=blocks,
    )


def _computed(actual: NDArray[Any], expected: NDArray[Any]) -> Differences:
    delta = actual.astype(np.float64) - expected.astype(np.float64)
    sizes = np.abs(delta)
    row, column, channel = np.unravel_index(int(np.argmax(sizes)), sizes.shape)
    pixels = sizes.max(axis=2)
    pixels.flags.writeable = False
    last = _rank(sizes.size) - 1
    red, green, blue = (_mean(delta[..., index]) for index in range(len(CHANNELS)))
    bands = np.add.reduceat(sizes.sum(axis=2), range(0, sizes.shape[0], BLOCK), axis=0)
    return Differences(
        mean_size=_mean(sizes),
        mean_square=_mean(delta * delta),
        p99=float(np.partition(sizes, last, axis=None)[last]),
        largest=float(sizes[row, column, channel]),
        place=(int(row), int(column), int(channel)),
        channel_means=(red, green, blue),
        pixels=pixels,
        blocks=np.add.reduceat(bands, range(0, sizes.shape[1], BLOCK), axis=1),
    )


def _rank(number: int) -> int:
    """Nearest rank of the 99th percentile among so many values, from 1."""
    return -(-99 * number // 100)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.sum(np.ascontiguousarray(values))) / values.size


def _odd_values(side: str, of: str, picture: NDArray[Any]) -> str:
    """How many values no arithmetic can hold, in words; empty where there are none."""
    if picture.dtype == np.uint8:
        return ""
    wide = picture.astype(np.float64)
    counts = {
        recorded("NaN"): int(np.count_nonzero(np.isnan(wide))),
        recorded("infinite"): int(np.count_nonzero(np.isinf(wide))),
        recorded("larger than float32 holds"): int(np.count_nonzero(np.isfinite(wide) & (np.abs(wide) > _LARGEST))),
    }
    odd = [recorded("{count:d} {what}", count=count, what=what) for what, count in counts.items() if count]
    if not odd:
        return ""
    return recorded(
        "{odd} among the {count:d} values of the {side!s:s} {of!s:s}", odd=odd, count=picture.size, side=side, of=of
    )
