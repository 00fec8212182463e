"""Decimals cut off on the way to 8 bits, or another range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("on the way to 8 bits decimals are cut off instead of rounded, or another range is taken")
SOURCE = marked("a conversion to 8 bits without rounding, a slip of ports")
PICTURES = 4


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Levels of 8 bits from the floats that entered, by other conversions."""
    if observed.dtype != "uint8":
        return
    for x in observed.inputs.values():
        if x.size == observed.expected.size and x.ndim == PICTURES:
            picture = x.transpose(0, 2, 3, 1).reshape(observed.expected.shape)
            for levels in (np.trunc(127.5 * picture + 127.5), np.trunc(128 * picture + 128), np.rint(255 * picture)):
                yield Prediction(values=np.clip(levels, 0, 255))
