"""Dropout is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("dropout is at work, as in a pipeline that was not put into evaluation mode")
SOURCE = marked("a pipeline that was not put into evaluation mode")
LARGEST_SHARE = 0.9


def predicted(observed: Observed) -> Iterator[Prediction]:
    """A share of values is zero, and the others are larger by what makes up for it."""
    x, y = observed.expected, observed.actual
    dropped = (y == 0) & (x != 0)
    kept = (y != 0) & (x != 0)
    if not dropped.any() or not kept.any() or dropped.mean() > LARGEST_SHARE:
        return
    share = 1 - 1 / float(np.median(y[kept] / x[kept]))
    error = float(np.sqrt(max(share, 0.0) / dropped.size))
    if abs(float(dropped.mean()) - share) < 0.1 * share + 5 * error:
        yield Prediction(values=np.where(dropped, 0.0, x / (1 - share)), estimate=share, standard_error=error)
