"""The table of results, declared once: a row for each pair and metric, which files and data frames write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.records import NoiseMode, worst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records import CaseKey, Comparison, Measurement, Verdict

COLUMNS = (
    "scenario",
    "arm",
    "against",
    "scope",
    "case",
    "seed",
    "image",
    "frame",
    "actual",
    "expected",
    "simulated",
    "noise",
    "subject",
    "metric",
    "value",
    "unit",
    "better",
    "spec",
    "where",
    "verdict",
    "problem",
)
"""Columns in their order; ``image`` is the number of an image among those of its call, None where a call makes one,
and ``frame`` the number of a frame of a video, None for whole videos.

``actual`` and ``expected`` are samples of ``arm`` and ``against``, such as ``p0r2``.

``simulated`` says whether a stand-in library plays the device of either arm, ``noise`` is ``unverified`` where the
images of either were made outside the worker, and else ``logged``. ``verdict`` is the word of the limits on the value,
empty where none judges it; ``value`` is None where ``problem`` says why.
"""


def rows_of(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """The rows of one comparison, by column."""
    common = of_sides(comparison)
    for pair in comparison.pairs:
        place = of_key(pair.key) | {"actual": pair.actual, "expected": pair.expected}
        for measurement in pair.measurements:
            yield common | place | of_measurement(measurement, pair.verdicts)


def of_key(key: CaseKey) -> dict[str, Any]:
    """Case, seed, and image or frame."""
    return {"case": key.case, "seed": key.seed, "image": key.image, "frame": key.frame}


def of_sides(comparison: Comparison, *others: Comparison) -> dict[str, Any]:
    """What a comparison, and others that a row of it rests on, have in common for all rows."""
    sides = [side for source in (comparison, *others) for side in (source.actual, source.expected)]
    return {
        "scenario": comparison.scenario,
        "arm": comparison.actual.arm,
        "against": comparison.expected.arm,
        "scope": comparison.scope.value,
        "simulated": any(side.simulated for side in sides),
        "noise": "unverified" if any(side.noise is NoiseMode.UNVERIFIED for side in sides) else "logged",
    }


def of_measurement(measurement: Measurement, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What a measurement says, with the word of the limits on it."""
    kind = measurement.metric, measurement.subject
    statuses = [verdict.status for verdict in verdicts if (verdict.limit.metric, verdict.limit.subject) == kind]
    return {
        "subject": measurement.subject,
        "metric": measurement.metric,
        "value": measurement.value,
        "unit": measurement.unit,
        "better": measurement.better,
        "spec": measurement.spec,
        "where": measurement.where,
        "verdict": worst(statuses).value if statuses else "",
        "problem": measurement.problem,
    }
