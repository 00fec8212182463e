"""How far correct results are apart, by source, metric and subject."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.calibrate.scale import error_of, scale_of, value_of
from harness.records import Floor, StepFloor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.contracts import Scale
    from harness.records import CaseKey, FloorSource, Measurement, Pair


def floors(pairs: Mapping[FloorSource, Sequence[Pair]]) -> list[Floor]:
    """A floor for every source, metric and subject that was measured; metrics without a value in a pair have none."""
    made = []
    for source, pairs_of_source in pairs.items():
        for first in pairs_of_source[0].measurements if pairs_of_source else []:
            values = [(pair.key, _same(first, pair)) for pair in pairs_of_source]
            scale = scale_of(first.metric)
            if first.metric != "identical" and scale and all(value is not None for _, value in values):
                made.append(_floor(source, first, scale, [(key, value) for key, value in values if value is not None]))
    return made


def _same(asked: Measurement, pair: Pair) -> float | None:
    """The value of the same metric in another pair."""
    measurement = pair.measurement(asked.metric, asked.subject)
    return measurement.value if measurement else None


def _floor(source: FloorSource, asked: Measurement, scale: Scale, values: Sequence[tuple[CaseKey, float]]) -> Floor:
    errors: dict[CaseKey, list[float]] = {}
    for key, value in values:
        errors.setdefault(key, []).append(error_of(scale, value))
    key, worst = max(values, key=lambda keyed: error_of(scale, keyed[1]))
    return Floor(
        source=source,
        metric=asked.metric,
        subject=asked.subject,
        unit=asked.unit,
        better=asked.better,
        values=len(values),
        rms=value_of(scale, max(_rms(errors_of_key) for errors_of_key in errors.values())),
        worst=worst,
        least=min(value for _, value in values),
        most=max(value for _, value in values),
        key=key,
    )


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


def step_floors(differences: Mapping[FloorSource, Iterable[Sequence[float]]]) -> list[StepFloor]:
    """The largest difference after each denoising step, for every source that has any."""
    return [
        StepFloor(source=source, relative_l2=[max(step) for step in zip(*steps, strict=True)])
        for source, steps in differences.items()
    ]
