"""Two arrays of any shape as vectors, and sums whose bits depend on no machine and no order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import ImageError
from harness.language import recorded
from harness.metrics._differences import require_finite
from harness.metrics._loops import loops
from harness.metrics._pairs import once_for_a_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]


@once_for_a_pair
def vectors(actual: NDArray[Any], expected: NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Both arrays in float64, as one row of numbers each.

    Raises:
        ImageError: the shapes or types differ, there are no values, or the type is no float of at most 64 bits.
        UndefinedMetric: there is NaN, infinity or a value beyond float32.
    """
    if actual.shape != expected.shape:
        raise ImageError(
            f"the arrays differ in size: actual {list(actual.shape)}, expected {list(expected.shape)}. "
            "Make both with the same width and height; arrays are never resized here."
        )
    if actual.dtype != expected.dtype:
        raise ImageError(f"the arrays differ in type: actual {actual.dtype}, expected {expected.dtype}.")
    if actual.dtype.name not in {"float16", "float32", "float64"}:
        raise ImageError(f"arrays of type {actual.dtype} have no metric; allowed are float16 to float64.")
    if not actual.size:
        raise ImageError(f"arrays of shape {list(actual.shape)} have no values, so they have no metric.")
    require_finite(actual, expected, of=recorded("latents"))
    wide = [array.astype(np.float64).ravel() for array in (actual, expected)]
    for values in wide:
        values.flags.writeable = False
    return wide[0], wide[1]


def length(values: Doubles) -> float:
    """Euclidean norm; the squares are summed exactly and rounded once."""
    return math.sqrt(exact_sum(values * values))


def exact_sum(values: Doubles) -> float:
    """Sum of values that are not negative, exact and rounded once, as ``math.fsum`` gives it.

    Two doubles hold the running sum, so at most ``size^2 * 2^-105`` of it is lost. Where the rounding could depend on
    that, ``math.fsum`` is asked, which takes forty times as long.

    >>> exact_sum(np.array([1.0, 2.0**-60, 2.0**-60]))
    1.0
    """
    total: float
    rest: float
    total, rest = loops(values.size).sum_of_two_parts(np.ascontiguousarray(values).ravel())
    half_a_step = math.ulp(total) / 2
    # Just below a power of two the steps are half as wide.
    nearest = min(abs(abs(rest) - half_a_step), abs(abs(rest) - half_a_step / 2))
    if nearest <= total * values.size**2 * 2.0**-105:
        return math.fsum(values.ravel().tolist())
    return total
