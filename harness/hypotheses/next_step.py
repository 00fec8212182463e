"""The value of the next step, or of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the value is that of the next denoising step, or of the one before")
SOURCE = "huggingface/diffusers#11749"


def predicted(observed: Observed) -> Iterator[Prediction]:
    """What the reference has one step later or earlier, or what follows the table of noise levels."""
    for values in observed.steps.values():
        yield Prediction(values=values)
    if len(observed.sigmas) > 1 and observed.sigmas[0] and observed.expected.ndim <= 1:
        yield Prediction(values=observed.expected * (observed.sigmas[1] / observed.sigmas[0]))
