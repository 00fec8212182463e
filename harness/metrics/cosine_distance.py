"""How far two latents or float pictures point in different directions, whatever their size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.errors import UndefinedMetric
from harness.language import recorded
from harness.metrics._differences import require_comparable
from harness.metrics._vectors import exact_sum, length, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = "cosine_distance:|a/|a|-e/|e||^2/2:exact-sums"
SUBJECTS: tuple[Subject, ...] = ("latents", "float_image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """One minus the cosine of the angle between both arrays taken as vectors; 0 to 2, 1 at a right angle.

    Computed as half the squared distance of the two unit vectors, which is the same number and keeps its digits where
    the cosine is so near to 1 that the difference would be rounding. Blind to a common factor: read it together with
    ``relative_l2``.

    >>> import numpy as np
    >>> measure(np.array([0.0, 2.0]), np.array([3.0, 0.0]), data_range=float("nan")).value
    1.0

    Raises:
        ImageError: shapes or types differ, or are not those of floats.
        UndefinedMetric: there are non-finite values, or one side is zero throughout and the other not.
    """
    if not math.isnan(data_range):
        require_comparable(actual, expected)
    actual_vector, expected_vector = vectors(actual, expected)
    lengths = length(actual_vector), length(expected_vector)
    if not all(lengths):
        if not any(lengths):
            return Measured(value=0.0)
        raise UndefinedMetric(recorded("no value, because every value of one side is zero and has no direction."))
    apart = actual_vector / lengths[0] - expected_vector / lengths[1]
    return Measured(value=exact_sum(apart * apart) / 2)


def rounding_floor(step: float) -> float:
    """Half the mean square of errors from ``-step / 2`` to ``step / 2`` on values of 1: ``step^2 / 24``."""
    return step * step / 24
