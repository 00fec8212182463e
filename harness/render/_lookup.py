"""Looking things up in a report: runs, samples, arms and devices of its comparisons, and the worst pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say, translated
from harness.records import NoiseMode, Role, Scope
from harness.render import _format as formats
from harness.render import _labels as labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.records import (
        CaseKey,
        Comparison,
        Failure,
        Measurement,
        Pair,
        Repetition,
        Report,
        Run,
        RunRef,
        Sample,
        Unfit,
    )


def of_scope(report: Report, scope: Scope) -> list[Comparison]:
    """Comparisons of one scope, in the report's order."""
    return [comparison for comparison in report.comparisons if comparison.scope is scope]


def name_of(comparison: Comparison) -> str:
    """What a comparison is called: the arm, or both arms."""
    if comparison.scope is Scope.REPEAT:
        return arm_of(comparison.actual)
    return against(arm_of(comparison.actual), arm_of(comparison.expected))


def arm_of(side: RunRef) -> str:
    """Name of the arm, with a mark where its device is simulated."""
    return formats.with_mark(side.arm, simulated=side.simulated)


def against(actual: str, expected: str) -> str:
    return say("{actual} against {expected}", actual=actual, expected=expected)


def run_of(report: Report, reference: RunRef) -> Run | None:
    """The run a side of a comparison points to, where the report holds it."""
    return next((run for run in report.runs if run.id == reference.id), None)


def samples_by_key(run: Run | None) -> dict[CaseKey, list[Sample]]:
    """Samples of a run by case and seed, each in the order of processes and repeats."""
    samples: dict[CaseKey, list[Sample]] = {}
    for sample in run.samples if run else []:
        samples.setdefault(sample.key, []).append(sample)
    return samples


def sides_of(report: Report, comparison: Comparison) -> Iterator[tuple[Pair, Sample, Sample]]:
    """Every pair whose two samples the report holds, with the samples."""
    actual, expected = (
        {
            (key, sample.label): sample
            for key, samples in samples_by_key(run_of(report, side)).items()
            for sample in samples
        }
        for side in (comparison.actual, comparison.expected)
    )
    for pair in comparison.pairs:
        left, right = actual.get((pair.key, pair.actual)), expected.get((pair.key, pair.expected))
        if left and right:
            yield pair, left, right


def device_of(report: Report, side: RunRef) -> str:
    """Device in words, with what no reader may miss about it."""
    name = side.device if side.device_name in {"", side.device} else f"{side.device}, {side.device_name}"
    run = run_of(report, side)
    if side.simulated or (run and run.environment and run.environment.simulated):
        return formats.with_mark(name, simulated=True)
    if side.noise is NoiseMode.UNVERIFIED:
        return name
    stands_in = run and run.backend == "cpu" and run.plan.arm.role is Role.CANDIDATE
    return say("{name} (CPU stand-in)", name=name) if stands_in else name


def by_key(comparison: Comparison) -> dict[CaseKey, Comparison]:
    """For every case and seed the comparison speaks of, sorted, the part of the comparison that is about it."""
    repetitions: dict[CaseKey, list[Repetition]] = {}
    pairs: dict[CaseKey, list[Pair]] = {}
    failures: dict[CaseKey, list[Failure]] = {}
    unfit: dict[CaseKey, list[Unfit]] = {}
    for image in comparison.unfit:
        unfit.setdefault(image.key, []).append(image)
    for repetition in comparison.repetitions:
        repetitions.setdefault(repetition.key, []).append(repetition)
    for pair in comparison.pairs:
        pairs.setdefault(pair.key, []).append(pair)
    for failure in comparison.failures:
        if failure.key is not None:
            failures.setdefault(failure.key, []).append(failure)
    keys = {*repetitions, *pairs, *failures, *unfit, *comparison.missing, *comparison.unexpected}
    return {
        key: comparison.model_copy(
            update={
                "repetitions": repetitions.get(key, []),
                "pairs": pairs.get(key, []),
                "failures": failures.get(key, []),
                "unfit": unfit.get(key, []),
            }
        )
        for key in sorted(keys, key=lambda key: key.order)
    }


def worst_pair(pairs: Iterable[Pair], metric: str, subject: str) -> tuple[Pair, Measurement] | None:
    """The pair with the worst value of a metric; one that has no value is worse than any that has."""
    candidates = [(pair, measurement) for pair in pairs if (measurement := pair.measurement(metric, subject))]
    return max(candidates, key=lambda candidate: candidate[1].badness, default=None)


def worst_pairs(pairs: Iterable[Pair]) -> dict[tuple[str, str], tuple[Pair, Measurement]]:
    """The same for every metric and subject, in one pass."""
    worst_by_kind: dict[tuple[str, str], tuple[Pair, Measurement]] = {}
    for pair in pairs:
        for measurement in pair.measurements:
            kind = (measurement.metric, str(measurement.subject))
            if kind not in worst_by_kind or measurement.badness > worst_by_kind[kind][1].badness:
                worst_by_kind[kind] = (pair, measurement)
    return worst_by_kind


def metrics_of(comparisons: Iterable[Comparison]) -> list[tuple[str, str]]:
    kinds = {
        (measurement.metric, str(measurement.subject))
        for comparison in comparisons
        for pair in comparison.pairs
        for measurement in pair.measurements
        if measurement.metric != "identical"
    }
    return sorted(kinds, key=lambda kind: (kind[1] != "image", kind[1], labels.metric_rank(kind[0])))


def place_of(pair: Pair, where: str = "") -> str:
    place = say("{key}, {pair}", key=labels.key(pair.key), pair=against(pair.actual, pair.expected))
    return say("{place}, {where}", place=place, where=translated(where)) if where else place
