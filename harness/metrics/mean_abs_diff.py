"""Mean absolute difference over all values of a picture."""

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
SPEC = "mean_abs_diff:all-values"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """``mean(|actual - expected|)`` over all pixels and channels, in the picture's own units; 0 to the range.

    >>> import numpy as np
    >>> measure(np.zeros((1, 1, 3), np.uint8), np.array([[[0, 0, 3]]], np.uint8), data_range=255).value
    1.0

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite.
    """
    del data_range  # given in the picture's own units
    return Measured(value=differences(actual, expected).mean_size)


def rounding_floor(step: float) -> float:
    """Mean size of errors from ``-step / 2`` to ``step / 2``: ``step / 4``."""
    return step / 4
