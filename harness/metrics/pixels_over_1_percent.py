"""Share of the pixels that are off by more than one per cent of the range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.contracts import Measured, Scale, Subject
from harness.metrics._differences import differences, require_range
from harness.metrics._relative import TOLERATED

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = "pixels_over_1_percent:count(max-over-channels|actual-expected|>range/100)/pixels"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Share of the pixels of which a channel is off by more than a hundredth of ``data_range``; 0 to 1.

    That is 3 levels and more of 8-bit pictures.

    >>> measure(np.full((1, 1, 3), 103, np.uint8), np.full((1, 1, 3), 100, np.uint8), data_range=255).value
    1.0

    Raises:
        ImageError: sizes or types differ, or are not those of a picture or of floats.
        UndefinedMetric: there are non-finite values, or the range is not a positive number.
    """
    require_range(data_range)
    pixels = differences(actual, expected).pixels
    return Measured(value=int(np.count_nonzero(pixels > data_range * TOLERATED)) / pixels.size)
