"""Differences of a pair against the size of the expected values: of all together, and of each value by itself.

What is divided by has a floor, because nearly every picture has zeros: one level of 255 for pictures. Latents have no
levels; for single values of theirs the floor is 2^-14, that of float32 in Ascend's dual benchmark (msprobe).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import UndefinedMetric
from harness.language import recorded
from harness.metrics._differences import require_comparable
from harness.metrics._loops import loops
from harness.metrics._pairs import in_bands, once_for_a_pair
from harness.metrics._vectors import exact_sum, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

TOLERATED = 0.01
"""Relative error of a value up to which it is not counted: one per cent."""

_LEVELS = 255
_FLOOR_OF_LATENTS = 2.0**-14


@dataclass(frozen=True, kw_only=True)
class Relative:
    """What is said about the differences of a pair, as shares: 0.01 is one per cent."""

    l1: float
    """``sum(|a - e|) / sum(|e|)``."""
    l2: float
    """``sqrt(sum((a - e)^2) / sum(e^2))``."""
    mean_error: float
    """Mean of ``|a - e| / max(|e|, floor)`` over all values."""
    largest_error: float
    """Largest of these."""
    share_over: float
    """Share of the values of which it is more than ``TOLERATED``, 0 to 1."""


def relative(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Relative:
    """Relative differences of two pictures ``[H, W, 3]``, or of two latents where ``data_range`` is NaN.

    For pictures the sums of the expected side are at least those of a picture of one level of 255 throughout.

    >>> one = np.full((1, 1, 3), 100, np.uint8)
    >>> relative(one + np.array([0, 0, 3], np.uint8), one, data_range=255)
    Relative(l1=0.01, l2=0.017320508075688773, mean_error=0.01, largest_error=0.03, share_over=0.3333333333333333)

    Raises:
        ImageError: sizes or types differ, or are not those of pictures or floats.
        UndefinedMetric: there are non-finite values, or every value of the expected latents is zero.
    """
    if math.isnan(data_range):
        return _of_latents(actual, expected)
    return _of_pictures(actual, expected, data_range / _LEVELS)


@once_for_a_pair
def _of_latents(actual: NDArray[Any], expected: NDArray[Any]) -> Relative:
    return _computed(*vectors(actual, expected), floor=_FLOOR_OF_LATENTS, least=0.0)


@once_for_a_pair
def _of_pictures(actual: NDArray[Any], expected: NDArray[Any], level: float) -> Relative:
    require_comparable(actual, expected)
    if actual.dtype == np.uint8:
        return _counted(actual, expected, level)
    wide = [picture.astype(np.float64).ravel() for picture in (actual, expected)]
    return _computed(wide[0], wide[1], floor=level, least=level)


def _computed(actual: Doubles, expected: Doubles, *, floor: float, least: float) -> Relative:
    """All of it for vectors; ``least`` is the size of value that the sums of the expected side are taken for."""
    size = expected.size
    sizes, scales = np.abs(actual - expected), np.abs(expected)
    errors = sizes / np.maximum(scales, floor)
    return Relative(
        l1=_share(exact_sum(sizes), max(exact_sum(scales), least * size)),
        l2=math.sqrt(_share(exact_sum(sizes * sizes), max(exact_sum(scales * scales), least * least * size))),
        mean_error=exact_sum(errors) / size,
        largest_error=float(errors.max()),
        share_over=int(np.count_nonzero(errors > TOLERATED)) / size,
    )


def _share(part: float, whole: float) -> float:
    if not part:
        return 0.0
    if not whole:
        raise UndefinedMetric(recorded("no value, because every value of the expected side is zero."))
    return part / whole


# --- pictures of 8 bits ----------------------------------------------------------------------------------------------


def _counted(actual: NDArray[np.uint8], expected: NDArray[np.uint8], level: float) -> Relative:
    """How often each two values meet says everything exactly."""
    over = loops(actual.size)
    rows = [np.ascontiguousarray(picture).reshape(picture.shape[0], -1) for picture in (actual, expected)]

    def count(top: int, bottom: int) -> NDArray[np.int64]:
        counts = np.zeros((_LEVELS + 1, _LEVELS + 1), np.int64)
        over.count_meetings(rows[0], rows[1], top, bottom, counts)
        return counts

    counts = np.sum(in_bands(count, actual.shape[0]), axis=0)
    met = counts > 0
    numbers, differences, scales = counts[met], _table().differences[met], _table().scales[met]
    size = actual.size
    errors = differences / np.maximum(scales.astype(np.float64), level)
    whole = max(int(numbers @ scales), level * size)
    square = max(int(numbers @ (scales * scales)), level * level * size)
    return Relative(
        l1=_share(int(numbers @ differences), whole),
        l2=math.sqrt(_share(int(numbers @ (differences * differences)), square)),
        mean_error=_exact_products(errors, numbers) / size,
        largest_error=float(errors.max()),
        share_over=int(numbers[errors > TOLERATED].sum()) / size,
    )


@dataclass(frozen=True)
class _Table:
    """What each two values ``[actual, expected]`` of 8 bits mean."""

    differences: NDArray[np.int64]
    scales: NDArray[np.int64]


@cache
def _table() -> _Table:
    values = np.arange(_LEVELS + 1, dtype=np.int64)
    actual, expected = np.meshgrid(values, values, indexing="ij")
    return _Table(np.abs(actual - expected), expected)


def _exact_products(values: Doubles, numbers: NDArray[np.int64]) -> float:
    """``sum(values * numbers)`` rounded once: both halves of a value times a number below 2^26 are exact."""
    upper = (values * (2.0**27 + 1)) - ((values * (2.0**27 + 1)) - values)
    return math.fsum([*(upper * numbers).tolist(), *((values - upper) * numbers).tolist()])
