"""Tensors on the way to two pictures, such as the text encoder's output, compared by their sketches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.records import TraceDifference
from harness.sketches import relative_difference

if TYPE_CHECKING:
    from harness.records import Sample, Step


def trace_differences(actual: Sample, expected: Sample) -> list[TraceDifference]:
    """What both samples traced, name by name in the order of the expected side."""
    return [
        _difference(name, actual.traces[name], calls)
        for name, calls in expected.traces.items()
        if name in actual.traces
    ]


def step_differences(actual: Sample, expected: Sample) -> list[float]:
    """Relative difference of the latents after each denoising step both samples have, estimated from the sketches.

    Sums of sketches are float32, so what is below about 1e-7 cannot be told from nothing.
    """
    steps = zip(actual.per_step, expected.per_step, strict=False)
    return [math.nan if (difference := relative_difference([a], [b])) is None else difference for a, b in steps]


def _difference(name: str, actual: list[Step], expected: list[Step]) -> TraceDifference:
    return TraceDifference(
        name=name,
        identical=[step.digest for step in actual] == [step.digest for step in expected],
        relative_difference=relative_difference(actual, expected),
    )
