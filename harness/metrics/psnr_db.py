"""Peak signal-to-noise ratio in decibels."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.metrics._differences import differences, require_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = "dB"
BETTER: Literal["higher", "lower"] = "higher"
SCALE: Scale = "decibel"
IDENTICAL = math.inf
SPEC = "psnr_db:10log10(range^2/mse):all-values:correctly-rounded-log"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image")

_EXACT = Context(prec=28)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """``10 log10(data_range^2 / mse)`` in decibels, with the mean squared error over all pixels and channels together.

    Infinite when no value differs: never average it over pictures.

    >>> import numpy as np
    >>> round(measure(np.zeros((1, 1, 3), np.uint8), np.ones((1, 1, 3), np.uint8), data_range=255).value, 2)
    48.13

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite, or the range is not positive.
    """
    require_range(data_range)
    error = differences(actual, expected).mean_square
    if not error:
        return Measured(value=math.inf)
    # Decimal rounds its logarithm correctly; that of the C library may differ in its last bit between machines.
    return Measured(value=float(_EXACT.multiply(10, _EXACT.log10(Decimal(data_range**2 / error)))))
