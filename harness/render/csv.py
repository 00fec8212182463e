"""Every measurement as a row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import math
from itertools import chain
from typing import TYPE_CHECKING, Any

from harness import results
from harness.render import _folders
from harness.render._document import clean
from harness.text import csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.records import Comparison, DualRatio, FolderDiff, MissingCell, PicturePair, Release, Report, Verdict

FILE_NAME = "metrics.csv"
FOLDERS_FILE_NAME = "pairs.csv"

COLUMNS = tuple(name for name in results.COLUMNS if name not in {"better", "where", "problem"})
"""Headings; those of images and frames are left out where there are none. A ratio of two arms' errors is a row with the
metric ``dual_ratio``: one for all pairs, without a case, and one for each."""


def render(report: Report, *, folder: Path) -> str:
    """One row for each measurement of each pair, in the report's order; ``folder`` is not read."""
    del folder
    columns = _columns([report])
    return _text([columns, *_rows(report, columns)])


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """The same for all jobs of a release, with the job in front; what is missing has rows of its own, at the end.

    Its ``value`` is the reason, its ``verdict`` is ``missing``. ``folders`` are not read.
    """
    del folders
    columns = _columns([job.report for job in release.jobs])
    measured = [(job.job, *row) for job in release.jobs for row in _rows(job.report, columns)]
    missing = [(gap.job, _missing(gap)) for gap in release.missing]
    unmeasured = [(job, *(cells.get(name, "") for name in columns)) for job, cells in missing]
    return _text([("job", *columns), *measured, *unmeasured])


def _missing(gap: MissingCell) -> dict[str, str]:
    return {"scenario": gap.scenario, "arm": gap.arm or "", "value": clean(gap.reason), "verdict": "missing"}


def _columns(reports: Sequence[Report]) -> tuple[str, ...]:
    pairs = [pair for report in reports for comparison in report.comparisons for pair in comparison.pairs]
    used = {"image": any(pair.key.image for pair in pairs), "frame": any(pair.key.frame for pair in pairs)}
    return tuple(name for name in COLUMNS if used.get(name, True))


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


def _rows(report: Report, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for comparison in report.comparisons:
        rows = [results.rows_of(comparison)]
        rows += [_ratios(comparison, verdict, verdict.dual) for verdict in comparison.verdicts if verdict.dual]
        for row in chain.from_iterable(rows):
            yield _texts(row, columns)


def _ratios(comparison: Comparison, verdict: Verdict, dual: DualRatio) -> Iterator[dict[str, Any]]:
    limit = verdict.limit
    spec = f"dual_ratio:{limit.metric}:rms-over-pairs:over-{limit.ratio_to}:floor-{dual.floor!r}"
    common = results.of_sides(comparison, *comparison.yardsticks) | {"subject": limit.subject, "spec": spec}
    common |= {"metric": "dual_ratio"}
    yield common | {"value": dual.ratio, "verdict": verdict.status.value}
    for pair in dual.pairs:
        yield common | results.of_key(pair.key) | {"value": pair.ratio}


def _texts(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    value = row["value"]
    texts = {
        **row,
        "simulated": "yes" if row["simulated"] else "no",
        "value": clean(f"undefined: {row['problem'] or 'not a number'}")
        if value is None or math.isnan(value)
        else repr(value),
    }
    cells = (texts.get(name) for name in columns)
    return tuple("" if cell is None else str(cell) for cell in cells)
