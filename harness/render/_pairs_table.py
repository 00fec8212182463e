"""Rows of the tables about pairs: every value of every pair, what differences look like, and what metrics mean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import marked, say, translated
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Cell, Table, code, figure, plain, table
from harness.render._lookup import against, metrics_of, name_of, worst_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Comparison, Measurement, Pair, Report

_MOST_OPEN_ROWS = 12
"""A table of pairs with more rows than these starts folded."""

_PAIR_TITLES = {
    "image": marked("{comparison}: 8-bit picture, every measured pair, worst first"),
    "float_image": marked("{comparison}: float decoder output, every measured pair, worst first"),
    "latents": marked("{comparison}: final latents, every measured pair, worst first"),
    "conversion": marked("{comparison}: conversion to 8 bits, every measured pair, worst first"),
}
"""Titles of the tables of pairs, by what the values were measured on."""


def pair_tables(comparison: Comparison) -> list[Table]:
    """Every value of every pair, worst first, one table for each subject.

    Pairs of one case and seed with equal numbers share a row.
    """
    groups = sorted(_grouped(comparison.pairs).values(), key=lambda pairs: _pair_order(pairs[0]))
    kinds = metrics_of([comparison])
    tables = []
    for subject, title in _PAIR_TITLES.items():
        metrics = [metric for metric, of in kinds if of == subject]
        if metrics:
            columns = (
                say("Case"),
                say("Seed"),
                say("Pair"),
                say("Everything identical"),
                *([say("Visual similarity")] if subject == "image" else []),
                *(_heading(comparison, metric, subject) for metric in metrics),
            )
            rows = [_pair_row(pairs, metrics, subject) for pairs in groups]
            made = table(columns, rows, title=say(title, comparison=name_of(comparison)), fold=True)
            is_open = len(rows) <= _MOST_OPEN_ROWS and not all(pair.identical for pair in comparison.pairs)
            tables.append(replace(made, open=is_open))
    return tables


def hints(comparison: Comparison) -> Table | None:
    """What the differences look like, worst pair first; None where no pair has a hint."""
    groups = sorted(_grouped(comparison.pairs).values(), key=lambda pairs: _pair_order(pairs[0]))
    rows = [
        [
            code(pairs[0].key.case),
            figure(labels.seed(pairs[0].key)),
            plain(_pair_label(pairs)),
            plain(translated(hint.message).removeprefix(say("looks like "))),
            plain(translated(hint.where) if hint.where else say("the whole picture")),
        ]
        for pairs in groups
        for hint in pairs[0].hints
    ]
    if not rows:
        return None
    return table(
        (say("Case"), say("Seed"), say("Pair"), say("Looks like"), say("Where")),
        rows,
        title=say("{comparison}: what the differences look like", comparison=name_of(comparison)),
        note=say(
            "Hints from the pattern of the 8-bit pictures, actual relative to expected; no verdict rests on them."
        ),
    )


def _grouped(pairs: Sequence[Pair]) -> dict[tuple[object, ...], list[Pair]]:
    groups: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        numbers = tuple(
            (measurement.metric, measurement.subject, repr(measurement.value), measurement.problem)
            for measurement in pair.measurements
        )
        groups.setdefault((pair.key, pair.identical, numbers), []).append(pair)
    return groups


def _pair_order(pair: Pair) -> tuple[int, bool, float, tuple[str, int, int], str]:
    rank = min((labels.RANKS[verdict.status] for verdict in pair.verdicts), default=len(labels.RANKS))
    worst = worst_pair([pair], "mse", "image")
    badness = worst[1].badness if worst else 0.0
    return (rank, pair.identical, -badness, pair.key.order, pair.actual)


def _heading(comparison: Comparison, metric: str, subject: str) -> str:
    worst = worst_pair(comparison.pairs, metric, subject)
    unit = worst[1].unit if worst else ""
    return formats.with_remark(labels.metric_name(metric), translated(unit))


def _pair_label(pairs: Sequence[Pair]) -> str:
    label = against(pairs[0].actual, pairs[0].expected)
    return say("{pair}, and {count} alike", pair=label, count=len(pairs) - 1) if len(pairs) > 1 else label


def _pair_row(pairs: Sequence[Pair], metrics: Sequence[str], subject: str) -> list[Cell]:
    pair = pairs[0]
    measured = {(measurement.metric, str(measurement.subject)): measurement for measurement in pair.measurements}
    return [
        code(pair.key.case),
        figure(labels.seed(pair.key)),
        plain(_pair_label(pairs)),
        plain(labels.yes_or_no(pair.identical)),
        *([_appearance_cell(pair)] if subject == "image" else []),
        *(_value_cell(pair, measured.get((metric, subject))) for metric in metrics),
    ]


def _appearance_cell(pair: Pair) -> Cell:
    return plain(labels.term(pair.appearance) if pair.appearance else say(labels.NOT_MEASURED))


def _value_cell(pair: Pair, measurement: Measurement | None) -> Cell:
    if measurement is None:
        return plain(say(labels.NOT_MEASURED))
    text = formats.measured(measurement, unit=False)
    if pair.identical or not measurement.where:
        return figure(text)
    return figure(say("{value} at {place}", value=text, place=translated(measurement.where)))


def definitions(report: Report) -> Table:
    """What each metric means exactly, as the measurements themselves say."""
    entries = {
        (measurement.metric, measurement.unit, measurement.better, measurement.spec)
        for comparison in report.comparisons
        for pair in comparison.pairs
        for measurement in pair.measurements
    }
    rows = [
        [
            plain(labels.metric_name(metric)),
            code(metric),
            plain(translated(unit) if unit else say("none")),
            plain(say("higher") if better == "higher" else say("lower")),
            code(translated(spec)),
        ]
        for metric, unit, better, spec in sorted(entries, key=lambda entry: (labels.metric_rank(entry[0]), entry))
    ]
    return table(
        (say("Measure"), say("Metric"), say("Unit"), say("More alike when"), say("Definition")),
        rows,
        note=say(
            "The 8-bit picture counts from 0 to 255, the float decoder output from -1 to 1, each in its own units."
        ),
    )
