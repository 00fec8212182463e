"""What the sketches of tensors tell: how far two are apart, without the tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Step

_PROJECTIONS = slice(4, None)
"""Where a sketch's projections are; before them stand norm, mean, smallest and largest value."""


def relative_difference(actual: Sequence[Step], expected: Sequence[Step]) -> float | None:
    """Norm of the difference over the norm of the expected side, over all tensors together; at least 0.

    A projection on random signs over the root of the size has the mean square ``norm ** 2 / size``, so the mean square
    of 16 differences of projections estimates the norm of the difference, within about 20 %
    (Johnson-Lindenstrauss; Achlioptas 2003). None where numbers or shapes of the tensors differ, a sketch has no
    projections, or the quotient is not finite.
    """
    if [step.shape for step in actual] != [step.shape for step in expected]:
        return None
    squares, norms = 0.0, 0.0
    for mine, theirs in zip(actual, expected, strict=True):
        apart = [one - other for one, other in zip(mine.sketch[_PROJECTIONS], theirs.sketch[_PROJECTIONS], strict=True)]
        if not apart:
            return None
        # Products, not powers: a power of a float that grows too large raises instead of becoming infinite.
        squares += math.prod(theirs.shape) * sum(difference * difference for difference in apart) / len(apart)
        norms += theirs.sketch[0] * theirs.sketch[0]
    relative = math.sqrt(squares / norms) if norms else None
    return relative if relative is not None and math.isfinite(relative) else None
