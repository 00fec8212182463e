"""Stored reports of one scenario as a trend: the worst value of each metric with its bound, and what changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.compare.changes import changes
from harness.records import (
    NoiseMode,
    Role,
    Scope,
    TrendPoint,
    TrendRepeats,
    TrendValue,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.records import Comparison, Measurement, Pair, Report, Run, Verdict


def points(reports: Mapping[str, Report], releases: Mapping[str, Sequence[str]]) -> list[TrendPoint]:
    """One point for each job, oldest first; ``releases`` names those that rest on a job."""
    ordered = sorted(reports, key=lambda job: (started(reports[job]), job))
    made = [_point(job, reports[job], releases.get(job, [])) for job in ordered]
    return [
        point.model_copy(update={"changes": changes(reports[before], reports[point.job]) if before else []})
        for before, point in zip([None, *ordered], made, strict=False)
    ]


def started(report: Report) -> str:
    """When the first run of a report began; empty where it has none."""
    return min((run.started_utc for run in report.runs), default="")


def _point(job: str, report: Report, releases: Sequence[str]) -> TrendPoint:
    candidates = [run for run in report.runs if run.plan.arm.role is Role.CANDIDATE]
    return TrendPoint(
        job=job,
        started_utc=started(report),
        outcome=report.outcome,
        releases=list(releases),
        devices=list(dict.fromkeys(map(_device, candidates))),
        simulated_arms=[run.plan.arm.name for run in report.runs if run.environment and run.environment.simulated],
        cpu_candidates=[
            run.plan.arm.name
            for run in candidates
            if run.backend == "cpu" and run.plan.noise is not NoiseMode.UNVERIFIED
        ],
        values=[value for comparison in report.comparisons for value in _values(comparison)],
        repeats=[
            _repeats(comparison)
            for comparison in report.comparisons
            if comparison.scope is Scope.REPEAT and comparison.repetitions
        ],
    )


def _device(run: Run) -> str:
    if run.environment is None or run.plan.noise is NoiseMode.UNVERIFIED:
        return run.backend
    return run.environment.device_name


def _repeats(comparison: Comparison) -> TrendRepeats:
    repetitions = comparison.repetitions
    outcomes = max(len(repetition.outcomes) for repetition in repetitions)
    return TrendRepeats(
        arm=comparison.actual.arm,
        cases=len(repetitions),
        fewest_runs=min(repetition.runs for repetition in repetitions),
        most_outcomes=outcomes,
        bound_95=max(repetition.bound_95 for repetition in repetitions) if outcomes == 1 else None,
        status=worst([repetition.status for repetition in repetitions]),
    )


def _values(comparison: Comparison) -> Iterator[TrendValue]:
    """Every metric that was measured, then the limits over all pairs, then every score."""
    sides: dict[str, Any] = {
        "arm": comparison.actual.arm,
        "against": comparison.expected.arm,
        "scope": comparison.scope,
    }
    kinds = {
        (measurement.metric, measurement.subject): None
        for pair in comparison.pairs
        for measurement in pair.measurements
    }
    for metric, subject in kinds:
        measured = [
            (pair, measurement) for pair in comparison.pairs if (measurement := pair.measurement(metric, subject))
        ]
        yield TrendValue(**sides, **_of_pairs(measured), **_bounds(_verdicts(comparison, metric, subject)))
    for verdict in comparison.verdicts:
        if verdict.dual is not None:
            yield TrendValue(**sides, **_of_ratio(verdict), **_bounds([verdict]))
    for parity in comparison.parities:
        ends = [abs(end) for end in (parity.low, parity.high) if end is not None]
        judged = [verdict for verdict in comparison.verdicts if verdict.limit.metric == parity.score]
        yield TrendValue(
            **sides,
            kind="score",
            metric=parity.score,
            subject="image",
            value=max(ends) if ends else None,
            mean=parity.difference,
            unit="",
            better="lower",
            pairs=parity.pairs,
            key=None,
            **(_bounds(judged) or {"at_most": parity.margin}),
        )


def _of_pairs(measured: Sequence[tuple[Pair, Measurement]]) -> dict[str, Any]:
    pair, first = max(measured, key=lambda item: item[1].badness)
    numbers = [measurement.value for _, measurement in measured if measurement.value is not None]
    finite = len(numbers) == len(measured) and all(map(math.isfinite, numbers))
    return {
        "kind": "worst",
        "metric": first.metric,
        "subject": first.subject,
        "value": first.value,
        "mean": math.fsum(numbers) / len(numbers) if finite else None,
        "unit": first.unit,
        "better": first.better,
        "pairs": len(measured),
        "key": pair.key,
    }


def _of_ratio(verdict: Verdict) -> dict[str, Any]:
    dual, limit = verdict.dual, verdict.limit
    return {
        "kind": "ratio",
        "metric": limit.metric,
        "subject": limit.subject,
        "ratio_to": limit.ratio_to or "",
        "value": dual.ratio if dual else None,
        "mean": None,
        "unit": "",
        "better": "lower",
        "pairs": len(dual.pairs) if dual else 0,
        "key": None,
    }


def _verdicts(comparison: Comparison, metric: str, subject: str) -> list[Verdict]:
    kind = metric, subject
    verdicts = [verdict for pair in comparison.pairs for verdict in pair.verdicts]
    return [verdict for verdict in verdicts if (verdict.limit.metric, verdict.limit.subject) == kind]


def _bounds(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The bound of the first limit, and the worst word of all of them; empty without any."""
    if not verdicts:
        return {}
    limit = verdicts[0].limit
    return {
        "at_least": limit.at_least,
        "at_most": limit.at_most,
        "equals": limit.equals,
        "status": worst([verdict.status for verdict in verdicts]),
    }
