"""What "within 1 %" can mean: every reading of it, and how many of them a comparison passes.

Porting notes claim "accuracy within 1 %" without a formula. On one healthy pair the readings below go from a quarter of
a per cent to thousands of per cent, and images that another noise made pass some. So a claim names its reading,
and beside each stands what another seed's noise of the same case gets: a reading that it passes shows nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.language import marked, recorded
from harness.records import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.contracts import Subject
    from harness.records import CaseKey, Comparison, Measurement

LIMIT = 0.01
"""One per cent; a reading is passed below it."""


@dataclass(frozen=True)
class Reading:
    """One way to read "the error is below 1 %"."""

    metric: str
    """Metric it is made of."""
    subject: Subject
    """What the metric is measured on."""
    formula: str
    """What is divided by what, with the floor of the divisor, ``a`` the actual and ``e`` the expected values."""
    divisor: float = 1.0
    """What the metric's value is divided by to become a share."""


_RANGE = marked("mean |a - e| / range")
_L1 = marked("sum |a - e| / sum |e|")
_L2 = marked("‖a - e‖ / ‖e‖")
_PIXELS = marked("pixels with |a - e| > 1 % of the range")
_COSINE = marked("1 - cosine of a and e")
_MEAN_PICTURE = marked("mean of |a - e| / max(|e|, 1 level of 255)")
_MEAN_LATENTS = marked("mean of |a - e| / max(|e|, 2⁻¹⁴)")
_SHARE_PICTURE = marked("values with |a - e| > 1 % of max(|e|, 1 level of 255)")
_SHARE_LATENTS = marked("values with |a - e| > 1 % of max(|e|, 2⁻¹⁴)")
_LARGEST_PICTURE = marked("largest |a - e| / max(|e|, 1 level of 255)")
_LARGEST_LATENTS = marked("largest |a - e| / max(|e|, 2⁻¹⁴)")

READINGS = (
    Reading("mean_abs_diff", "image", _RANGE, 255.0),
    Reading("relative_l1", "image", _L1),
    Reading("relative_l2", "image", _L2),
    Reading("pixels_over_1_percent", "image", _PIXELS),
    Reading("mean_relative_error", "image", _MEAN_PICTURE),
    Reading("share_over_1_percent", "image", _SHARE_PICTURE),
    Reading("max_relative_error", "image", _LARGEST_PICTURE),
    Reading("mean_abs_diff", "float_image", _RANGE, 2.0),
    Reading("relative_l1", "float_image", _L1),
    Reading("relative_l2", "float_image", _L2),
    Reading("cosine_distance", "float_image", _COSINE),
    Reading("pixels_over_1_percent", "float_image", _PIXELS),
    Reading("mean_relative_error", "float_image", _MEAN_PICTURE),
    Reading("share_over_1_percent", "float_image", _SHARE_PICTURE),
    Reading("max_relative_error", "float_image", _LARGEST_PICTURE),
    Reading("relative_l1", "latents", _L1),
    Reading("relative_l2", "latents", _L2),
    Reading("cosine_distance", "latents", _COSINE),
    Reading("mean_relative_error", "latents", _MEAN_LATENTS),
    Reading("share_over_1_percent", "latents", _SHARE_LATENTS),
    Reading("max_relative_error", "latents", _LARGEST_LATENTS),
)
"""All readings: of the 8-bit image, of the float output and of the final latents."""

METRICS = tuple(dict.fromkeys(reading.metric for reading in READINGS))
"""The metrics that readings are made of."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """What one reading gives for a comparison, as shares: 0.01 is one per cent."""

    reading: Reading
    """Which."""
    worst: float
    """Largest value of any pair."""
    worst_key: CaseKey
    """Case and seed of that pair."""
    mean: float
    """Mean over the pairs."""
    other_noise: tuple[float, ...]
    """Smallest value that another seed's noise gets, of each case in which one was measured."""

    @property
    def passed(self) -> bool:
        """Whether every pair is below one per cent."""
        return self.worst < LIMIT

    @property
    def passed_by_other_noise(self) -> int:
        """Cases in which the image of another seed passes too."""
        return sum(value < LIMIT for value in self.other_noise)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """All readings of one comparison."""

    readings: tuple[Read, ...]
    """Those that were measured for every pair, in the order of ``READINGS``."""

    @property
    def passed(self) -> int:
        """Readings that every pair passes."""
        return sum(read.passed for read in self.readings)

    @property
    def knows_other_noise(self) -> bool:
        """Whether any case has images of two seeds on the expected side."""
        return any(read.other_noise for read in self.readings)

    @property
    def passed_by_other_noise(self) -> int:
        """Of the readings that are passed, those that another seed's noise passes too, in one case at least."""
        return sum(read.passed and read.passed_by_other_noise > 0 for read in self.readings)

    @property
    def sentence(self) -> str:
        """How many readings are passed, and how many of these show nothing; a message as records hold them."""
        counts = {"passed": self.passed, "count": len(self.readings)}
        if not self.passed:
            return recorded("passes none of {count:d} readings of 'within 1 %'", count=len(self.readings))
        if not self.knows_other_noise:
            return recorded(
                "passes {passed:d} of {count:d} readings of 'within 1 %'; every case has one seed, so what other noise "
                "would pass is not known",
                **counts,
            )
        if not self.passed_by_other_noise:
            return recorded(
                "passes {passed:d} of {count:d} readings of 'within 1 %', and another seed's noise would pass none of "
                "these",
                **counts,
            )
        return recorded(
            "passes {passed:d} of {count:d} readings of 'within 1 %'; {others:d} of these another seed's noise would "
            "pass too, in one case at least, so there they show nothing",
            others=self.passed_by_other_noise,
            **counts,
        )


def ladder(comparison: Comparison) -> Ladder | None:
    """All readings of "within 1 %" of a comparison with a reference; None where there is no pair that can be read.

    Images that show nothing pass every reading, so a comparison with one has none.
    """
    if comparison.scope is not Scope.REFERENCE or comparison.differences or comparison.unfit:
        return None
    reads = tuple(read for reading in READINGS if (read := _read(reading, comparison)))
    return Ladder(readings=reads) if reads else None


def _read(reading: Reading, comparison: Comparison) -> Read | None:
    pairs = [pair for pair in comparison.pairs if pair.video is None]
    if any(pair.key.frame for pair in pairs) and reading.subject == "latents":
        pairs = [pair for pair in comparison.pairs if pair.video is not None]
    values = [
        (value, pair.key)
        for pair in pairs
        if (value := _share(reading, pair.measurement(reading.metric, reading.subject))) is not None
    ]
    if not values or len(values) != len(pairs):
        return None
    worst, key = max(values, key=lambda item: item[0])
    return Read(
        reading=reading,
        worst=worst,
        worst_key=key,
        mean=math.fsum(value for value, _ in values) / len(values),
        other_noise=tuple(_other_noise(reading, comparison)),
    )


def _other_noise(reading: Reading, comparison: Comparison) -> Iterator[float]:
    by_case: dict[str, list[float]] = {}
    for other in comparison.other_noise:
        if (value := _share(reading, other.measurement(reading.metric, reading.subject))) is not None:
            by_case.setdefault(other.key.case, []).append(value)
    yield from map(min, by_case.values())


def _share(reading: Reading, measurement: Measurement | None) -> float | None:
    if measurement is None or measurement.value is None:
        return None
    return measurement.value / reading.divisor
