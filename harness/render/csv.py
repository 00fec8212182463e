"""Every measurement as a row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from harness.records import NoiseMode
from harness.render._document import clean
from harness.text import csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.records import Comparison, Measurement, Pair, Report

FILE_NAME = "metrics.csv"

COLUMNS = (
    "scenario",
    "arm",
    "against",
    "scope",
    "case",
    "seed",
    "actual",
    "expected",
    "simulated",
    "noise",
    "subject",
    "metric",
    "value",
    "unit",
    "spec",
)
"""Headings; ``actual`` and ``expected`` are samples of ``arm`` and ``against``, such as ``p0r2``.

``simulated`` is ``yes`` where a stand-in library plays the device of either arm, ``noise`` is ``unverified`` where the
pictures of either were made outside the worker, and else ``logged``.
"""


def render(report: Report, *, folder: Path) -> str:
    """One row for each measurement of each pair, in the report's order; ``folder`` is not read."""
    del folder
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(text) for text in row] for row in _rows(report))
    return stream.getvalue()


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    for comparison in report.comparisons:
        for pair in comparison.pairs:
            for measurement in pair.measurements:
                yield _row(comparison, pair, measurement)


def _row(comparison: Comparison, pair: Pair, measurement: Measurement) -> tuple[str, ...]:
    return (
        comparison.scenario,
        comparison.actual.arm,
        comparison.expected.arm,
        comparison.scope.value,
        pair.key.case,
        str(pair.key.seed),
        pair.actual,
        pair.expected,
        "yes" if comparison.actual.simulated or comparison.expected.simulated else "no",
        "unverified" if NoiseMode.UNVERIFIED in {comparison.actual.noise, comparison.expected.noise} else "logged",
        measurement.subject,
        measurement.metric,
        _value(measurement),
        measurement.unit,
        measurement.spec,
    )


def _value(measurement: Measurement) -> str:
    if measurement.value is None or math.isnan(measurement.value):
        return clean(f"undefined: {measurement.problem or 'not a number'}")
    return repr(measurement.value)
