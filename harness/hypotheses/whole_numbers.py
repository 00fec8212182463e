"""Values cut to whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the values are cut or rounded to whole numbers")
SOURCE = "huggingface/diffusers#9004"


def predicted(observed: Observed) -> Iterator[Prediction]:
    """Decimals cut off, and rounded."""
    for cut in (np.trunc, np.rint):
        yield Prediction(values=cut(observed.expected))
