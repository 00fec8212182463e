"""Share of the values whose relative error is more than one per cent."""

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
SPEC = "share_over_1_percent:count(|actual-expected|/max(|expected|,floor)>0.01)/count:floor-one-level-or-2^-14"
SUBJECTS: tuple[Subject, ...] = ("float_image", "image", "latents")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Share of the values with ``|actual - expected| / max(|expected|, floor) > 0.01``; 0 to 1.

    The floor is one level of 255 for pictures and 2^-14 for latents. Not symmetric: the expected side is the yardstick.

    >>> import numpy as np
    >>> measure(np.full((1, 1, 3), 102, np.uint8), np.full((1, 1, 3), 100, np.uint8), data_range=255).value
    1.0

    Raises:
        ImageError: sizes or types differ, or are not those of a picture or of floats.
        UndefinedMetric: there are non-finite values, or all expected latents are zero.
    """
    return Measured(value=relative(actual, expected, data_range=data_range).share_over)
