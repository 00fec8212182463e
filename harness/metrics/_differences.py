"""Differences between two pictures that cannot wrap around, and the guards every metric stands behind.

8-bit pictures are subtracted as integers and summed exactly; float pictures are subtracted and summed in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import ImageError, UndefinedMetric

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
    problems = [*_odd_values("actual", actual), *_odd_values("expected", expected)]
    if problems:
        raise UndefinedMetric(
            f"no value, because of {' and '.join(problems)}. Look at the decoder's output; "
            "an overflow in half precision is a frequent cause."
        )


def require_range(data_range: float) -> None:
    """Refuse a data range that no picture can have.

    Raises:
        UndefinedMetric: it is not a positive finite number.
    """
    if not 0 < data_range < np.inf:
        raise UndefinedMetric(f"no value, because the data range is {data_range}; allowed is a positive finite number.")


def differences(actual: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.int32] | NDArray[np.float64]:
    """Subtract after widening: ``actual - expected`` as ``int32[H, W, 3]`` for 8-bit pictures, otherwise float64.

    >>> differences(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)).tolist()
    [[[-255, -255, -255]]]

    Raises:
        ImageError: as for ``require_comparable``.
        UndefinedMetric: as for ``require_comparable``.
    """
    require_comparable(actual, expected)
    if actual.dtype == np.uint8:
        return np.asarray(actual.astype(np.int32) - expected.astype(np.int32))
    return np.asarray(actual.astype(np.float64) - expected.astype(np.float64))


def mean(values: NDArray[Any]) -> float:
    """Arithmetic mean; integers are summed exactly, floats pairwise in float64."""
    exact = np.issubdtype(values.dtype, np.integer)
    return float(np.sum(np.ascontiguousarray(values), dtype=np.int64 if exact else np.float64)) / values.size


def mean_square(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Mean of the squared differences of all values.

    Raises:
        ImageError: as for ``require_comparable``.
        UndefinedMetric: as for ``require_comparable``.
    """
    delta = differences(actual, expected)
    return mean(delta * delta)


def _odd_values(side: str, picture: NDArray[Any]) -> list[str]:
    if picture.dtype == np.uint8:
        return []
    wide = picture.astype(np.float64)
    counts = {
        "NaN": int(np.count_nonzero(np.isnan(wide))),
        "infinite": int(np.count_nonzero(np.isinf(wide))),
        "larger than float32 holds": int(np.count_nonzero(np.isfinite(wide) & (np.abs(wide) > _LARGEST))),
    }
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return [f"{words} among the {picture.size} values of the {side} picture"] if words else []
