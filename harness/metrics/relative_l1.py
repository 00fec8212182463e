"""Sum of the differences against the sum of the expected values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.metrics._relative import relative

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = "relative_l1:sum|actual-expected|/sum|expected|:exact-sums:pictures-at-least-one-level"
SUBJECTS: tuple[Subject, ...] = ("float_image", "image", "latents")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """``sum(|actual - expected|) / sum(|expected|)`` over all values, as a share; 0 upwards.

    For pictures the expected sum is at least that of one level of 255 throughout. Not symmetric: the expected side is
    the yardstick.

    >>> import numpy as np
    >>> measure(np.full((1, 1, 3), 102, np.uint8), np.full((1, 1, 3), 100, np.uint8), data_range=255).value
    0.02

    Raises:
        ImageError: sizes or types differ, or are not those of a picture or of floats.
        UndefinedMetric: there are non-finite values, or every value of the
            expected latents is zero and not of the actual ones.
    """
    return Measured(value=relative(actual, expected, data_range=data_range).l1)


def rounding_floor(step: float) -> float:
    """Mean size of errors from ``-step / 2`` to ``step / 2`` on values of 1: ``step / 4``."""
    return step / 4
