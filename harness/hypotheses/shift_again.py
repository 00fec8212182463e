"""The table of noise levels shifted once more, or by another amount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("noise levels are shifted once more, or by another amount")
SOURCE = "huggingface/diffusers#13243"
LEAST_LEVELS = 3


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Levels s x / (1 + (s - 1) x) of a table that falls from 1 to 0, with the s that the values show."""
    x, y = observed.expected, observed.actual
    inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    if x.ndim != 1 or inside.sum() < LEAST_LEVELS or x.min() < 0 or x.max() > 1:
        return
    shifts = y[inside] * (1 - x[inside]) / (x[inside] * (1 - y[inside]))
    s = float(np.median(shifts))
    error = float(shifts.std() / np.sqrt(len(shifts)))
    yield Prediction(values=s * x / (1 + (s - 1) * x), estimate=s, standard_error=error)
