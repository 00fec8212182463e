"""Mean absolute difference of the worst block: an error that everyone sees where it is, and no mean over a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.contracts import Measured, Scale, Subject
from harness.language import recordable, recorded
from harness.metrics._differences import CHANNELS, differences
from harness.metrics._loops import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = recordable("pixel units")
BETTER: Literal["higher", "lower"] = "lower"
SCALE: Scale = "distance"
IDENTICAL = 0.0
SPEC = f"worst_block_diff:block{BLOCK}-grid-cut-at-the-edge:mean-abs-of-all-channels"
SUBJECTS: tuple[Subject, ...] = ("image",)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Largest ``mean(|actual - expected|)`` of a block of 16 by 16 pixels, over its channels, in the picture's units.

    The blocks lie side by side from the top left; those at the right and lower edge have what is left, so no border
    is lost. ``parts`` has the ``median`` of all blocks: a defect stands out from it, noise does not. ``where`` names
    the first of the worst blocks, both ends included, as ``block x=16..31 y=0..15``; it is empty when nothing differs.

    >>> import numpy as np
    >>> measure(np.zeros((1, 18, 3), np.uint8), np.full((1, 18, 3), 2, np.uint8), data_range=255)
    Measured(value=2.0, parts={'median': 2.0}, where='block x=0..15 y=0..0')

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a float picture holds values that are not finite.
    """
    del data_range  # given in the picture's own units
    sums = differences(actual, expected).blocks
    height, width, _ = actual.shape
    means = sums / (len(CHANNELS) * np.outer(_sides(height), _sides(width)))
    row, column = (int(index) for index in np.unravel_index(int(np.argmax(means)), means.shape))
    worst = float(means[row, column])
    place = recorded("block x={x:s} y={y:s}", x=_extent(column, width), y=_extent(row, height))
    return Measured(value=worst, parts={"median": float(np.median(means))}, where=place if worst else "")


def _sides(length: int) -> list[int]:
    return [min(BLOCK, length - start) for start in range(0, length, BLOCK)]


def _extent(number: int, length: int) -> str:
    return f"{BLOCK * number}..{min(BLOCK * (number + 1), length) - 1}"
