"""Halves of an axis in the wrong order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("two halves come back in the wrong order, as shards that were gathered wrongly")
SOURCE = "vllm-project/vllm-omni#2814"


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Halves of every axis but the first in the other order."""
    for axis in range(1, observed.expected.ndim):
        if observed.expected.shape[axis] % 2 == 0:
            halves = np.split(observed.expected, 2, axis=axis)
            yield Prediction(values=np.concatenate(halves[::-1], axis=axis))
