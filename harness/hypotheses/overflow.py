"""The largest values overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from harness.observations import Observed

    Array = NDArray[np.bool_]

CAUSE = recordable("the largest values overflow and are no numbers any more, as in float16 above 65504")
SOURCE = "huggingface/candle#1060"
LEAST_LOST = 2
HALF_UNIT, LEAST_OF_HALF = 2.0**-11, 2.0**-24
"""Half a unit in the last place of float16, and its smallest value over one."""


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The candidate's values that are no numbers, where they are just those that are largest."""
    lost = ~np.isfinite(observed.actual)
    if not lost.any() or lost.all():
        return
    bound = float(np.abs(observed.expected[lost]).min())
    if lost.sum() < LEAST_LOST or (np.abs(observed.expected) > bound).sum() >= lost.sum():
        return
    for values in (observed.expected, np.where(_is_rounded(observed), observed.actual, observed.expected)):
        yield Prediction(values=np.where(lost, observed.actual, values), estimate=bound, standard_error=0.0)


def _is_rounded(observed: Observed) -> Array:
    """Where a value is the reference's as float16 rounds it, whatever it was scaled by."""
    gap, size = np.abs(observed.actual - observed.expected), np.abs(observed.expected)
    rounded: Array = gap <= size * HALF_UNIT + size.max() * LEAST_OF_HALF
    return rounded
