"""Values in memory read in another layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable(
    "values are read in another layout than they were written in, such as channels last for channels first"
)
SOURCE = "pytorch/pytorch#111169; pytorch/pytorch#62594; pytorch/pytorch#180984"
PICTURES, TOKENS = 4, 3


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The same values in memory, taken for another order of axes; and the last two axes exchanged."""
    x = observed.expected
    if x.ndim == PICTURES:
        n, c, h, w = x.shape
        yield Prediction(values=x.reshape(n, h, w, c).transpose(0, 3, 1, 2))
        yield Prediction(values=x.transpose(0, 2, 3, 1).reshape(x.shape))
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        yield Prediction(values=np.swapaxes(x, -1, -2))
    if x.ndim == TOKENS:
        yield Prediction(values=np.swapaxes(x, 1, 2).reshape(x.shape))
