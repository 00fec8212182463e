"""Colours in the order blue, green, red."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the colour channels are in reverse order")
SOURCE = marked("BGR where RGB is meant, a slip of ports")
CHANNELS = 3


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Axes of three in reverse order."""
    for axis, size in enumerate(observed.expected.shape):
        if size == CHANNELS:
            yield Prediction(values=np.flip(observed.expected, axis))
