"""The dual benchmark: an error is judged by the error that another device makes against the same reference.

The rule, stated once: ``ratio = rms(errors) / max(rms(errors of the other arm), floor)``, with the root mean square
over all cases and seeds. A diffusion model amplifies some cases far more than others, so the ratio of one pair says
little; over all pairs the same hard cases stand above and below the line. Ratios of pairs are kept for the reader. The
floor is what the metric gives for the rounding errors of the other arm's type alone: an arm that is equal to the
reference byte for byte would otherwise make every ratio infinite. The idea is that of the dual benchmark of Ascend's
msprobe, which divides errors of NPU against CPU by those of GPU against CPU and has floors too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from harness import plugins
from harness.language import recorded
from harness.message import joined
from harness.records import DualRatio, PairRatio, Status, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.contracts import ErrorMetric
    from harness.records import CaseKey, Comparison, Limit

_FLOAT_STEPS = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}
"""Distance from 1 to the next smaller number."""
_LEVEL = 1.0
"""Distance between two values of an 8-bit picture."""


class NoRatio(Exception):
    """There is nothing to divide, or nothing to divide by; ``status`` is the word for it."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def dual_ratio(comparison: Comparison, limit: Limit) -> DualRatio:
    """What a limit with ``ratio_to`` judges.

    Raises:
        NoRatio: the other arm was not compared with the reference, failed, began elsewhere, or a value is missing.
    """
    other = _yardstick(comparison, limit)
    errors, other_errors = _values(comparison, limit), _values(other, limit)
    lacking = [key for key in errors if key not in other_errors]
    if lacking or not errors:
        message = recorded("{arm:s} has nothing to be compared with", arm=limit.ratio_to)
        if lacking:
            message = recorded("{arm:s} lacks {keys}", arm=limit.ratio_to, keys=listed(lacking))
        raise NoRatio(Status.ERROR, message)
    floor = rounding_floor(limit, other.actual.dtype)
    pairs = [
        PairRatio(key=key, error=error, other=other_errors[key], ratio=error / max(other_errors[key], floor))
        for key, error in errors.items()
    ]
    error, others = (
        _root_mean_square(values) for values in (list(errors.values()), [other_errors[key] for key in errors])
    )
    return DualRatio(
        error=error,
        other=others,
        floor=floor,
        ratio=error / max(others, floor),
        pairs=sorted(pairs, key=lambda pair: -pair.ratio),
    )


def rounding_floor(limit: Limit, dtype: str) -> float:
    """Value of the limit's metric for rounding errors alone: of levels for a picture, else of the other arm's type."""
    step = _LEVEL if limit.subject == "image" else _FLOAT_STEPS.get(dtype, _FLOAT_STEPS["float32"])
    metric = cast("ErrorMetric", plugins.load("metrics", limit.metric))  # scenarios with another one are refused
    return metric.rounding_floor(step)


def _yardstick(comparison: Comparison, limit: Limit) -> Comparison:
    """The other arm against the same reference."""
    yardstick = next((candidate for candidate in comparison.yardsticks if candidate.actual.arm == limit.ratio_to), None)
    if yardstick is None:
        raise NoRatio(
            Status.ERROR,
            recorded(
                "{arm:s} was not compared with {expected:s}; run that arm in the same job, or give its run folder to "
                "harness compare with --ratio-to",
                arm=limit.ratio_to,
                expected=comparison.expected.arm,
            ),
        )
    if yardstick.failures:
        first = yardstick.failures[0]
        message = recorded(
            "{arm:s} or its reference failed: {error}: {message!s}",
            arm=limit.ratio_to,
            error=first.error,
            message=first.message,
        )
        raise NoRatio(Status.ERROR, message)
    if yardstick.differences:
        raise NoRatio(
            Status.NOT_COMPARABLE,
            recorded(
                "{arm:s} cannot be compared with {expected:s}: {differences!s}",
                arm=limit.ratio_to,
                expected=yardstick.expected.arm,
                differences=joined(yardstick.differences),
            ),
        )
    return yardstick


def _values(comparison: Comparison, limit: Limit) -> dict[CaseKey, float]:
    """Value of the limit's metric by case and seed; of several pairs the worst."""
    values: dict[CaseKey, float] = {}
    for pair in comparison.pairs:
        if pair.video is not None:
            continue
        measurement = pair.measurement(limit.metric, limit.subject)
        if measurement is None or measurement.value is None or math.isnan(measurement.value):
            why = (measurement and measurement.problem) or recorded("it was not measured, or is no number")
            message = recorded(
                "{metric:s} has no value for {key} of {arm:s}: {why!s}",
                metric=limit.metric,
                key=pair.key,
                arm=comparison.actual.arm,
                why=why,
            )
            raise NoRatio(Status.ERROR, message)
        values[pair.key] = max(measurement.value, values.get(pair.key, 0.0))
    return values


def _root_mean_square(values: Sequence[float]) -> float:
    """Root of the mean of squares, which ``hypot`` adds up without overflow."""
    return math.hypot(*values) / math.sqrt(len(values))
