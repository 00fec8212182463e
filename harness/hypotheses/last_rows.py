"""The last rows hold something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable(
    "the last rows or tokens hold something else and all others are right: read beyond the end, or before a copy was "
    "done"
)
SOURCE = "pytorch/pytorch#169222; vllm-project/vllm-omni#5782"
GENERAL = True
"""Named only where no other cause is: others may look like it."""
LARGEST_SHARE = 4
LEAST_OF_A_ROW = 0.25


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The candidate's values in rows at the end of an axis, at most a quarter of it, and else the right ones."""
    differs, y = observed.differs, observed.actual
    for axis in range(differs.ndim - 1):
        length = differs.shape[axis]
        share = differs.mean(axis=tuple(other for other in range(differs.ndim) if other != axis))
        first = int(np.argmax(share > 0))
        rows = length - first
        if share.any() and rows * LARGEST_SHARE <= length and (share[first:] >= LEAST_OF_A_ROW).all():
            tail = np.arange(length) >= first
            form = [-1 if other == axis else 1 for other in range(differs.ndim)]
            yield Prediction(
                values=np.where(tail.reshape(form), y, observed.expected), estimate=float(rows), standard_error=0.0
            )
