"""Whether two pictures are the same bytes: 1 or 0, no tolerance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Scale, Subject
from harness.metrics._differences import require_same_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "higher"
SCALE: Scale = "similarity"
IDENTICAL = 1.0
SPEC = "identical:dtype+shape+bytes"
SUBJECTS: tuple[Subject, ...] = ("image", "float_image")


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """1 if type and bytes are equal, otherwise 0, for arrays ``[H, W, 3]``.

    Bits are compared, not numbers: -0.0 and +0.0 differ, and two NaN with the same bits are equal.

    Raises:
        ImageError: the sizes differ, or are not those of a picture.
    """
    del data_range  # bytes have no scale
    require_same_size(actual, expected)
    same = actual.dtype == expected.dtype and actual.tobytes() == expected.tobytes()
    return Measured(value=float(same))
