"""Noise drawn by NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the noise is drawn by NumPy's generator with the same seed")
SOURCE = "huggingface/diffusers#11056"
MATRIX = 2


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Normal numbers of NumPy's first generator."""
    if observed.expected.ndim > MATRIX:
        values = np.random.RandomState(observed.seed % 2**32).standard_normal(observed.expected.shape)
        yield Prediction(values=values)
