"""The absolute difference that 99 % of a picture's values keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.language import recordable
from harness.metrics._differences import differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = recordable("pixel units")
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = "p99_abs_diff:nearest-rank:all-values"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Smallest ``|actual - expected|`` that at least 99 % of all values do not exceed, in the picture's own units.

    The nearest-rank percentile: of ``n`` absolute differences in ascending order, number ``ceil(99 n / 100)`` counted
    from 1. It is always a difference that occurs, never one in between. Damage to less than 1 % of the values does
    not move it.

    >>> import numpy as np
    >>> measure(np.zeros((1, 1, 3), np.uint8), np.array([[[0, 0, 3]]], np.uint8), data_range=255).value
    3.0

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite.
    """
    del data_range  # given in the picture's own units
    return Measured(value=differences(actual, expected).p99)


def rounding_floor(step: float) -> float:
    """What 99 % of errors from ``-step / 2`` to ``step / 2`` keep."""
    return 0.99 * step / 2
