"""Every measurement as a row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from harness.records import NoiseMode, worst
from harness.render import _folders
from harness.render._document import clean
from harness.text import csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.records import (
        Comparison,
        DualRatio,
        FolderDiff,
        Measurement,
        Pair,
        PicturePair,
        Release,
        Report,
        Verdict,
    )

FILE_NAME = "metrics.csv"
FOLDERS_FILE_NAME = "pairs.csv"

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
    "verdict",
)
"""Headings; ``actual`` and ``expected`` are samples of ``arm`` and ``against``, such as ``p0r2``.

``simulated`` is ``yes`` where a stand-in library plays the device of either arm, ``noise`` is ``unverified`` where the
pictures of either were made outside the worker, and else ``logged``. ``verdict`` is the word of the limits on the
value, empty where none judges it. A ratio of two arms' errors is a row with the metric ``dual_ratio``: one for all
pairs, without a case, and one for each.
"""


def render(report: Report, *, folder: Path) -> str:
    """One row for each measurement of each pair, in the report's order; ``folder`` is not read."""
    del folder
    return _text([COLUMNS, *_rows(report)])


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """The same for all jobs of a release, with the job in front; what is missing has rows of its own, at the end.

    Its ``value`` is the reason, its ``verdict`` is ``missing``. ``folders`` are not read.
    """
    del folders
    measured = [(job.job, *row) for job in release.jobs for row in _rows(job.report)]
    unmeasured = [
        (gap.job, gap.scenario, gap.arm or "", *[""] * 10, clean(gap.reason), "", "", "missing")
        for gap in release.missing
    ]
    return _text([("job", *COLUMNS), *measured, *unmeasured])


def render_folders(diff: FolderDiff, pairs: Sequence[PicturePair], *, folders: tuple[Path, Path] | None) -> str:
    """One row for each name of two folders of picture files, the worst first; ``folders`` are not read.

    Every metric has a column of its own; a value that is not there leaves its cell empty.
    """
    del diff, folders
    metrics = sorted({measurement.metric for pair in pairs for measurement in pair.measurements})
    heads = ("name", "expected_name", "presence", "outcome", "width", "height", "differing_pixels", "differing_share")
    return _text(
        [
            (*heads, "visual_similarity", "looks_like", *metrics, "problem"),
            *(_file_row(pair, metrics) for pair in _folders.ordered(pairs)),
        ]
    )


def _file_row(pair: PicturePair, metrics: Sequence[str]) -> tuple[str, ...]:
    values = {measurement.metric: measurement.value for measurement in pair.measurements}
    pixels = (pair.width or 0) * (pair.height or 0)
    share = "" if pair.differing_pixels is None or not pixels else repr(pair.differing_pixels / pixels)
    counts = (pair.width, pair.height, pair.differing_pixels)
    return (
        clean(pair.name),
        clean(pair.expected_name),
        pair.presence,
        pair.outcome.value,
        *("" if count is None else str(count) for count in counts),
        share,
        pair.appearance.value if pair.appearance else "",
        clean("; ".join(hint.message for hint in pair.hints)),
        *("" if values.get(metric) is None else repr(values[metric]) for metric in metrics),
        clean("; ".join(filter(None, [pair.problem, *pair.blank]))),
    )


def _text(rows: Iterable[tuple[str, ...]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([csv_cell(text) for text in row] for row in rows)
    return stream.getvalue()


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    for comparison in report.comparisons:
        for pair in comparison.pairs:
            for measurement in pair.measurements:
                yield _row(comparison, pair, measurement)
        for verdict in comparison.verdicts:
            if verdict.dual is not None:
                yield from _ratios(comparison, verdict, verdict.dual)


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
        _simulated(comparison),
        _noise(comparison),
        measurement.subject,
        measurement.metric,
        _value(measurement),
        measurement.unit,
        measurement.spec,
        _word(pair, measurement),
    )


def _ratios(comparison: Comparison, verdict: Verdict, dual: DualRatio) -> Iterator[tuple[str, ...]]:
    limit = verdict.limit
    spec = f"dual_ratio:{limit.metric}:rms-over-pairs:over-{limit.ratio_to}:floor-{dual.floor!r}"
    sides = (comparison.scenario, comparison.actual.arm, comparison.expected.arm, comparison.scope.value)
    sources = (comparison, *comparison.yardsticks)
    common = (_simulated(*sources), _noise(*sources), limit.subject, "dual_ratio")
    yield (*sides, "", "", "", "", *common, repr(dual.ratio), "", spec, verdict.status.value)
    for pair in dual.pairs:
        yield (*sides, pair.key.case, str(pair.key.seed), "", "", *common, repr(pair.ratio), "", spec, "")


def _simulated(*comparisons: Comparison) -> str:
    return (
        "yes"
        if any(comparison.actual.simulated or comparison.expected.simulated for comparison in comparisons)
        else "no"
    )


def _noise(*comparisons: Comparison) -> str:
    sides = {side.noise for comparison in comparisons for side in (comparison.actual, comparison.expected)}
    return "unverified" if NoiseMode.UNVERIFIED in sides else "logged"


def _word(pair: Pair, measurement: Measurement) -> str:
    wanted = measurement.metric, measurement.subject
    statuses = [verdict.status for verdict in pair.verdicts if (verdict.limit.metric, verdict.limit.subject) == wanted]
    return worst(statuses).value if statuses else ""


def _value(measurement: Measurement) -> str:
    if measurement.value is None or math.isnan(measurement.value):
        return clean(f"undefined: {measurement.problem or 'not a number'}")
    return repr(measurement.value)
