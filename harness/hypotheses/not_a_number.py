"""Some values are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable(
    "some values are no numbers and all others are right: a division by zero, or memory that was never written"
)
SOURCE = "zai-org/CogVideo#559"
GENERAL = True
"""Named only where no other cause is: others may look like it."""


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The candidate's values where they are no numbers, and else the reference's."""
    lost = ~np.isfinite(observed.actual)
    if lost.any() and not lost.all():
        yield Prediction(values=np.where(lost, observed.actual, observed.expected))
