"""All values are multiplied by a constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("all values are multiplied by a constant")
SOURCE = marked("a factor that is missing, or is there twice")
GENERAL = True
"""Named only where no other cause is: others may look like it."""
LEAST_VALUES = 16


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The reference's values times the factor that comes nearest, with its standard error."""
    x, y = observed.expected.ravel(), observed.actual.ravel()
    square = float(x @ x)
    if len(x) < LEAST_VALUES or not square or not np.isfinite(y).all():
        return
    factor = float(x @ y) / square
    error = float(np.sqrt(((x * (y - factor * x)) ** 2).sum())) / square
    yield Prediction(values=factor * observed.expected, estimate=factor, standard_error=error)
