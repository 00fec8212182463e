"""Largest absolute difference of any value, and the pixel it is at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.language import recordable, recorded
from harness.metrics._differences import CHANNELS, differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = recordable("pixel units")
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = "max_abs_diff:all-values"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """``max(|actual - expected|)`` over all pixels and channels, in the picture's own units.

    ``where`` names the first such value, row by row from the top left, as ``x=3 y=0 channel=g``; it is empty when no
    value differs.

    >>> import numpy as np
    >>> measure(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8), data_range=255)
    Measured(value=255.0, parts={}, where='x=0 y=0 channel=r')

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite.
    """
    del data_range  # given in the picture's own units
    difference = differences(actual, expected)
    row, column, channel = difference.place
    where = recorded("x={x:d} y={y:d} channel={channel:s}", x=column, y=row, channel=CHANNELS[channel])
    return Measured(value=difference.largest, where=where if difference.largest else "")


def rounding_floor(step: float) -> float:
    """Largest of errors from ``-step / 2`` to ``step / 2``."""
    return step / 2
