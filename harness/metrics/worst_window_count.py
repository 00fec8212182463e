"""Most visibly wrong pixels in any small window: a defect is where they crowd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.language import recordable, recorded
from harness.metrics._differences import differences
from harness.metrics._loops import loops
from harness.metrics._pairs import in_bands

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = 32
"""Side of the window in pixels."""

TOLERANCE = 8
"""Levels a channel may differ before its pixel counts: more than rounding and what follows from it moves one."""

UNIT = recordable("pixels")
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = f"worst_window_count:window{WINDOW}-sliding:any-channel-over-{TOLERANCE}"
SUBJECTS: tuple[Subject, ...] = ("image",)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Largest number of pixels with ``|actual - expected| > 8`` in any channel, in a window of 32 by 32; 0 to 1024.

    The window slides by single pixels and stays inside the picture; where the picture is narrower or lower, so is the
    window. ``where`` names its first place in the order of rows, both ends included, as ``window x=0..31 y=0..31``; it
    is empty when no pixel counts. Scattered noise gives few everywhere, a defect many in one place. 8 levels is the
    largest difference that is still called lossless to the eye.

    >>> import numpy as np
    >>> measure(np.zeros((1, 2, 3), np.uint8), np.array([[[0, 8, 0], [0, 9, 0]]], np.uint8), data_range=255)
    Measured(value=1.0, parts={}, where='window x=0..1 y=0..0')

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite.
    """
    del data_range  # given in levels
    difference = differences(actual, expected)
    if difference.largest <= TOLERANCE:
        return Measured(value=0.0)
    pixels = difference.pixels
    height, width = (min(WINDOW, side) for side in pixels.shape)

    over = loops(pixels.size)

    def look(top: int, bottom: int) -> tuple[int, int, int]:
        window: tuple[int, int, int] = over.fullest_window(pixels, TOLERANCE, height, width, top, bottom)
        return window

    bands = in_bands(look, pixels.shape[0] - height + 1)
    count, top, left = max(bands, key=lambda band: band[0])  # of equal ones the first, which is the highest
    across, down = f"{left}..{left + width - 1}", f"{top}..{top + height - 1}"
    return Measured(value=float(count), where=recorded("window x={x:s} y={y:s}", x=across, y=down))
