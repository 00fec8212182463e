"""A scheduler's step with noise levels of a half type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.formulas import rounded
from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the scheduler's step takes its noise levels in a half type")
SOURCE = marked("noise levels that are cast early, as in tables of k-diffusion")
PAIR = 2


def predicted(observed: Observed) -> Iterator[Prediction]:
    """An Euler step with both levels rounded; nothing where the reference makes no such step."""
    alike = [x for x in observed.inputs.values() if x.shape == observed.expected.shape]
    if len(observed.sigmas) < PAIR or len(alike) != PAIR:
        return
    levels = np.array(observed.sigmas[:PAIR])
    for velocity, sample in (alike, alike[::-1]):
        made = sample + (levels[1] - levels[0]) * velocity
        size = float(np.linalg.norm(observed.expected))
        if float(np.linalg.norm(made - observed.expected)) > 8 * observed.floor * size:
            continue
        for dtype in ("bfloat16", "float16"):
            one, two = rounded(levels, dtype)
            yield Prediction(values=sample + (two - one) * velocity)
