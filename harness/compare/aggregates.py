"""Many comparisons as one number each way: every metric by capability and arms, over all cases and seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.compare.intervals import mean_interval
from harness.records import Aggregate, Comparison, NoiseMode, Scope, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.records import CaseKey, Measurement, Report, RunRef

_WHOLE = "identical"
"""Says yes or no, of which no mean is made."""


@dataclass(frozen=True)
class _Arms:
    """Whose numbers belong together."""

    task: Task
    arm: str
    against: str
    device: str
    against_device: str
    dtype: str
    against_dtype: str
    simulated: bool


@dataclass(frozen=True)
class _Value:
    """One measurement with its place."""

    scenario: str
    key: CaseKey
    measurement: Measurement


def aggregates(reports: Iterable[Report]) -> list[Aggregate]:
    """Every metric of every arm that was compared with another, the worst arms of each capability first.

    Repeats and sides that cannot be compared are left out. A case and seed of a scenario counts once however many pairs
    it has: repeats are no new pictures.
    """
    groups: dict[_Arms, list[Comparison]] = {}
    for report in reports:
        for comparison in report.comparisons:
            if comparison.scope is Scope.REFERENCE and comparison.pairs and not comparison.differences:
                groups.setdefault(_arms(report.scenario.task, comparison), []).append(comparison)
    by_arms = [_of_arms(arms, comparisons) for arms, comparisons in groups.items()]
    return [aggregate for group in sorted(by_arms, key=_order) for aggregate in group]


def _arms(task: Task, comparison: Comparison) -> _Arms:
    actual, expected = comparison.actual, comparison.expected
    return _Arms(
        task=task,
        arm=actual.arm,
        against=expected.arm,
        device=actual.device_name or actual.device,
        against_device=expected.device_name or expected.device,
        dtype=_dtype(actual),
        against_dtype=_dtype(expected),
        simulated=actual.simulated or expected.simulated,
    )


def _dtype(side: RunRef) -> str:
    """Type of a side's weights; empty where only those who made its pictures know it."""
    return "" if side.noise is NoiseMode.UNVERIFIED else side.dtype


def _of_arms(arms: _Arms, comparisons: Sequence[Comparison]) -> list[Aggregate]:
    """One aggregate for each metric and subject, in the order in which they are first met."""
    values: dict[tuple[str, str], list[_Value]] = {}
    for comparison in comparisons:
        for pair in comparison.pairs:
            for measurement in pair.measurements:
                if measurement.metric != _WHOLE:
                    measured = _Value(comparison.scenario, pair.key, measurement)
                    values.setdefault((measurement.metric, measurement.subject), []).append(measured)
    sources = sorted(f"{compared.actual.id} against {compared.expected.id}" for compared in comparisons)
    return [_aggregate(arms, sources, of_kind) for of_kind in values.values()]


def _aggregate(arms: _Arms, sources: list[str], values: list[_Value]) -> Aggregate:
    by_key: dict[tuple[str, CaseKey], list[float]] = {}
    for measured in values:
        value = measured.measurement.value
        by_key.setdefault((measured.scenario, measured.key), []).append(math.nan if value is None else value)
    means = [math.fsum(of_key) / len(of_key) for of_key in by_key.values() if all(map(math.isfinite, of_key))]
    mean, reach = mean_interval(means) if means else (None, None)
    bad = max(values, key=lambda item: (item.measurement.badness, item.scenario, item.key.order))
    first = values[0].measurement
    return Aggregate(
        **vars(arms),
        comparisons=sources,
        metric=first.metric,
        subject=first.subject,
        unit=first.unit,
        better=first.better,
        pairs=len(values),
        keys=len(means),
        left_out=len(by_key) - len(means),
        mean=mean,
        reach=reach,
        worst=bad.measurement.value,
        worst_scenario=bad.scenario,
        worst_key=bad.key,
    )


def _order(group: list[Aggregate]) -> tuple[int, float, str, str]:
    """Capabilities in the order of the note, then the arms whose worst picture is farthest off."""
    psnr = next((item.worst for item in group if (item.metric, item.subject) == ("psnr_db", "image")), None)
    first = group[0]
    return (list(Task).index(first.task), -math.inf if psnr is None else psnr, first.arm, first.against)
