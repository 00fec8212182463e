"""What a hypothesis about values or pictures is told: what a candidate gave for what the reference gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


WRONG_FROM = 8.0
"""Error over floor above which a place is wrong; correct changes were measured up to 5.8, wrong ones near 10,000."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One tensor at a place where a candidate that got the reference's values is wrong; all arrays are float64."""

    actual: Array
    """What the candidate has there."""
    expected: Array
    """What the reference has there, of the same shape."""
    dtype: str
    """Type of the tensor, such as ``bfloat16``."""
    floor: float
    """How far correct work may be from ``expected``, as relative L2."""
    seed: int = 0
    """Seed of the picture."""
    inputs: Mapping[str, Array] = field(default_factory=dict)
    """What entered the function or module whose output this is, by the names of its arguments; empty for an input."""
    others: Mapping[str, Array] = field(default_factory=dict)
    """What the reference has in the same step at other places with the same shape and the same caller, by path."""
    earlier: Mapping[str, Array] = field(default_factory=dict)
    """What it has before in the same step at places whose path differs in numbers alone, as layers do, by path."""
    steps: Mapping[int, Array] = field(default_factory=dict)
    """What the reference has at this place in other steps, by the distance from this one: 1 is the next."""
    sigmas: tuple[float, ...] = ()
    """Noise levels of the scheduler's table, from the step of this place on."""

    @property
    def differs(self) -> NDArray[np.bool_]:
        """Elements that differ by more than correct work may: eight floors of the typical size."""
        size = float(np.sqrt(np.mean(np.where(np.isfinite(self.expected), self.expected, 0.0) ** 2)))
        gap = np.abs(np.nan_to_num(self.actual - self.expected, nan=np.inf))
        return np.asarray(gap > 8 * self.floor * max(size, 1e-300))


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the candidate would have at the place if a cause were present."""

    values: Array
    """Of the shape of what was observed."""
    estimate: float | None = None
    """Constant that was estimated on the way, such as a share of values that were dropped."""
    standard_error: float | None = None
    """Its standard error."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a candidate's pictures of one case and seed relate to each other and to the reference's."""

    repeats: bool
    """Whether all of its later pictures have the same bytes."""
    first_equals_later: bool
    """Whether the first picture of the process has the bytes of the later ones."""
    first_is_right: bool
    """Whether the first picture of the process is no farther from the reference than rounding."""
    later_is_right: bool
    """The same of a later one."""
    right_when_forced: bool
    """Whether every place is right when it gets the reference's values."""
    right_before_another: bool
    """Whether the place that is named was right in the first picture, and wrong after a picture with other noise."""
