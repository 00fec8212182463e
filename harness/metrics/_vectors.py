"""Two arrays of any shape as vectors, and sums whose bits depend on no machine and no order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import ImageError
from harness.language import recorded
from harness.metrics._differences import require_finite
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
    return math.sqrt(math.fsum((values * values).tolist()))
