"""The end read from the beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the end is read from the beginning, as after an index that wraps")
SOURCE = "huggingface/diffusers#3643"


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Values in memory whose last part, from the first difference on, repeats the beginning."""
    x = observed.expected.ravel()
    first = int(np.argmax(observed.differs.ravel()))
    if observed.differs.any() and first >= len(x) - first > 1:
        wrapped = np.concatenate([x[:first], x[: len(x) - first]])
        yield Prediction(values=wrapped.reshape(observed.expected.shape))
