"""The largest values overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the largest values overflow and are no numbers any more, as in float16 above 65504")
SOURCE = "huggingface/candle#1060"


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The candidate's values that are no numbers, where they are just those that are largest."""
    lost = ~np.isfinite(observed.actual)
    if not lost.any() or lost.all():
        return
    bound = np.abs(observed.expected[lost]).min()
    if lost.sum() > 1 and (np.abs(observed.expected) > bound).sum() < lost.sum():
        yield Prediction(
            values=np.where(lost, observed.actual, observed.expected), estimate=float(bound), standard_error=0.0
        )
