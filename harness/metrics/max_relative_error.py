"""Largest relative error of a single value."""

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
SPEC = "max_relative_error:max(|actual-expected|/max(|expected|,floor)):floor-one-level-or-2^-14"
SUBJECTS: tuple[Subject, ...] = ("float_image", "image", "latents")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Largest ``|actual - expected| / max(|expected|, floor)`` of any value, as a share; 0 upwards.

    The floor is one level of 255 for pictures and 2^-14 for latents. One value near zero decides it: hundreds of per
    cent say little. Not symmetric: the expected side is the yardstick.

    >>> import numpy as np
    >>> measure(np.full((1, 1, 3), 102, np.uint8), np.full((1, 1, 3), 100, np.uint8), data_range=255).value
    0.02

    Raises:
        ImageError: sizes or types differ, or are not those of a picture or of floats.
        UndefinedMetric: there are non-finite values, or all expected latents are zero.
    """
    return Measured(value=relative(actual, expected, data_range=data_range).largest_error)
