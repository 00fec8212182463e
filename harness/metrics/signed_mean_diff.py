"""Systematic shift of a picture: the mean difference with its sign, by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.language import recordable
from harness.metrics._differences import CHANNELS, differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = recordable("pixel units")
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
"""Of the magnitude: nearer to zero is better, and limits judge the distance from zero."""
IDENTICAL = 0.0
SPEC = "signed_mean_diff:actual-minus-expected:largest-channel-mean"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image", "conversion")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """``mean(actual - expected)`` of the channel where it is largest in magnitude, with its sign.

    ``parts`` holds all three as ``r``, ``g`` and ``b``, in the picture's own units. Rounding leaves it near 0, cutting
    off decimals instead of rounding gives -0.5, a wrong colour conversion shows as one channel. Of equal magnitudes
    the first channel's counts. Swapping the pictures only turns the sign. On ``conversion`` it is the bias of the step
    to 8 bits alone, however far the pictures are apart.

    >>> import numpy as np
    >>> found = measure(np.array([[[9, 5, 5]]], np.uint8), np.array([[[10, 5, 5]]], np.uint8), data_range=255)
    >>> found.value, dict(found.parts)
    (-1.0, {'r': -1.0, 'g': 0.0, 'b': 0.0})

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite.
    """
    del data_range  # given in the picture's own units
    parts = dict(zip(CHANNELS, differences(actual, expected).channel_means, strict=True))
    return Measured(value=max(parts.values(), key=abs), parts=parts)
