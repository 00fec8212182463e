"""Predictions of a batch in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the predictions of the batch change places, such as those of the prompt and of the negative prompt")
SOURCE = marked("positive and negative prompt in the other order, a slip of ports")


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Halves of the batch in the other order."""
    if observed.expected.ndim > 1 and observed.expected.shape[0] % 2 == 0:
        yield Prediction(values=np.concatenate(np.split(observed.expected, 2)[::-1]))
