"""Values beyond a bound set to that bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("values beyond a bound are set to that bound: saturation, or a table that ends")
SOURCE = marked("Ascend documentation of the saturation mode")
LEAST_VALUES = 16


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The reference's values between the least and the largest of the candidate."""
    y = observed.actual
    if y.size > LEAST_VALUES and np.isfinite(y).all() and observed.dtype != "uint8":
        yield Prediction(
            values=np.clip(observed.expected, y.min(), y.max()), estimate=float(np.abs(y).max()), standard_error=0.0
        )
