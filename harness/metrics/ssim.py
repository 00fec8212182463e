"""Mean structural similarity of the whole picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.metrics._windows import MAP_SPEC, similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "higher"
SCALE: Scale = "similarity"
IDENTICAL = 1.0
SPEC = f"ssim:{MAP_SPEC}"
SUBJECTS: tuple[Subject, ...] = ("image",)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Mean of the structural similarity map (see ``_windows.similarity``) over all windows and channels; -1 to 1.

    Local damage hardly moves it: a block of noise of 32 by 32 pixels leaves 0.99 in a picture of 512 by 512. Read it
    together with ``ssim_tile_min``.

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a side is shorter than 11 pixels, the range is not positive, or there are non-finite values.
    """
    return Measured(value=similarity(actual, expected, data_range).mean)
