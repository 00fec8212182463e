"""Tensors on the way to two pictures, such as the text encoder's output, compared by their sketches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.records import Step, TraceDifference

if TYPE_CHECKING:
    from harness.records import Sample

_PROJECTIONS = slice(4, None)
"""Where a sketch's projections are; before them stand norm, mean, smallest and largest value."""


def trace_differences(actual: Sample, expected: Sample) -> list[TraceDifference]:
    """What both samples traced, name by name in the order of the expected side."""
    return [
        _difference(name, actual.traces[name], theirs)
        for name, theirs in expected.traces.items()
        if name in actual.traces
    ]


def step_differences(actual: Sample, expected: Sample) -> list[float]:
    """Relative difference of the latents after each denoising step both samples have, estimated from the sketches.

    Sums of sketches are float32, so what is below about 1e-7 cannot be told from nothing.
    """
    steps = zip(actual.per_step, expected.per_step, strict=False)
    return [math.nan if (found := _relative_difference([a], [b])) is None else found for a, b in steps]


def _difference(name: str, actual: list[Step], expected: list[Step]) -> TraceDifference:
    alike = [step.shape for step in actual] == [step.shape for step in expected]
    return TraceDifference(
        name=name,
        identical=[step.digest for step in actual] == [step.digest for step in expected],
        relative_difference=_relative_difference(actual, expected) if alike else None,
    )


def _relative_difference(actual: list[Step], expected: list[Step]) -> float | None:
    """Norm of the difference over the norm of the expected side, over all calls together.

    A projection on random signs over the root of the size has the mean square ``norm ** 2 / size``, so the mean square
    of 16 differences of projections estimates the norm of the difference, within about 20 %
    (Johnson-Lindenstrauss; Achlioptas 2003).
    """
    squares, norms = 0.0, 0.0
    for mine, theirs in zip(actual, expected, strict=True):
        apart = [one - other for one, other in zip(mine.sketch[_PROJECTIONS], theirs.sketch[_PROJECTIONS], strict=True)]
        # Products, not powers: a power of a float that grows too large raises instead of becoming infinite.
        squares += math.prod(theirs.shape) * sum(each * each for each in apart) / len(apart)
        norms += theirs.sketch[0] * theirs.sketch[0]
    relative = math.sqrt(squares / norms) if norms else None
    return relative if relative is not None and math.isfinite(relative) else None
