"""Difference of two latents or pictures against the size of the expected side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.errors import UndefinedMetric
from harness.language import recorded
from harness.metrics._relative import relative
from harness.metrics._vectors import length, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = "relative_l2:norm(actual-expected)/norm(expected):exact-sums"
SUBJECTS: tuple[Subject, ...] = ("latents", "float_image", "image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """``|actual - expected| / |expected|`` with Euclidean norms over all values, for arrays of any shape; 0 upwards.

    1 is a difference as large as the expected side itself. For pictures the expected norm is at least that of one level
    of 255 throughout. Not symmetric: the expected side is the yardstick.

    >>> import numpy as np
    >>> measure(np.array([3.0, 5.0]), np.array([3.0, 4.0]), data_range=float("nan")).value
    0.2

    Raises:
        ImageError: shapes or types differ, or are not those of floats.
        UndefinedMetric: there are non-finite values, or all expected latents are zero and not the actual ones.
    """
    if not math.isnan(data_range):
        return Measured(value=relative(actual, expected, data_range=data_range).l2)
    actual_vector, expected_vector = vectors(actual, expected)
    difference = length(actual_vector - expected_vector)
    if not difference:
        return Measured(value=0.0)
    if not (scale := length(expected_vector)):
        raise UndefinedMetric(recorded("no value, because every value of the expected side is zero."))
    return Measured(value=difference / scale)


def rounding_floor(step: float) -> float:
    """Root mean square of errors from ``-step / 2`` to ``step / 2`` on values of 1: ``step / sqrt(12)``."""
    return step / math.sqrt(12)
