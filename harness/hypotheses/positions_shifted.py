"""Positions shifted by a constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("position ids are shifted by a constant, or part of them is")
SOURCE = "vllm-project/vllm-omni#4443; vllm-project/vllm-omni#4474"
MOST_AXES_OF_ONE_ROW = 2


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Whole numbers that are the reference's plus one constant for each row, where they differ."""
    if not observed.dtype.startswith("int") or observed.expected.ndim < MOST_AXES_OF_ONE_ROW:
        return
    gap, differs = observed.actual - observed.expected, observed.actual != observed.expected
    count = differs.sum(-1, keepdims=True)
    shift = np.round(gap.sum(-1, keepdims=True) / np.maximum(count, 1))
    if differs.any() and count.max() > 1:
        yield Prediction(
            values=np.where(differs, observed.expected + shift, observed.expected),
            estimate=float(shift.flat[np.abs(shift).argmax()]),
            standard_error=0.0,
        )
