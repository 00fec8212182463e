"""Share of the values that are equal, 0 to 1; exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contracts import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER = "higher"
IDENTICAL = 1.0
SPEC = "share_equal:all-values"
SUBJECTS = ("image",)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """The share; ``data_range`` does not matter."""
    return Measured(value=float(np.mean(actual == expected)))
