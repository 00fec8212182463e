"""Limits that are broken and waived, and ratios of two arms' errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.records import unused_waivers
from harness.render import _words as words
from harness.render._document import code, figure, plain, table
from harness.render._tables import name_of, rule
from harness.scenario import own_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Comparison, Report, Verdict, Waiver
    from harness.render._document import Cell, Table


def waivers(report: Report) -> Table:
    """Every waiver with its reason, its owner and its last day, and what came of it."""
    found = [*report.scenario.waivers, *(each for comparison in report.comparisons for each in comparison.waivers)]
    distinct = [waiver for index, waiver in enumerate(found) if waiver not in found[:index]]
    rows = [
        [
            plain(waiver.metric or say("every metric")),
            plain(words.judges(waiver.scope)),
            plain(words.names(filter(None, (waiver.arm, waiver.case))) or say("all")),
            plain(own_words(report.scenario, waiver.reason)),
            plain(waiver.owner),
            figure(waiver.expires),
            plain(_state(report, waiver)),
        ]
        for waiver in distinct
    ]
    columns = (
        say("Waiver"),
        say("Judges"),
        say("Arm and case"),
        say("Reason"),
        say("Owner"),
        say("Last day"),
        say("State"),
    )
    return table(columns, rows, title=say("Waivers"))


def _state(report: Report, waiver: Waiver) -> str:
    excused = sum(verdict.waiver == waiver for comparison in report.comparisons for verdict in _verdicts(comparison))
    asked = [each for each in report.comparisons if waiver in each.waivers]
    if excused:
        return many("excuses {count} broken limit", "excuses {count} broken limits", excused)
    if any(each.judged_on and each.judged_on > waiver.expires for each in asked):
        return say("expired: excuses nothing")
    if waiver in unused_waivers(report.comparisons):
        return say("unused: no limit that it covers is broken")
    return say("not asked: nothing that it covers was compared")


def waived(report: Report, comparison: Comparison) -> Iterator[Table]:
    """Limits that are broken and excused, with what was measured."""
    rows = [
        [
            code(rule(verdict.limit)),
            figure(_number(verdict.measured)),
            plain(own_words(report.scenario, verdict.message)),
        ]
        for verdict in _verdicts(comparison)
        if verdict.waiver
    ]
    if rows:
        yield table(
            (say("Limit"), say("Measured"), say("What is waived")),
            rows,
            title=say("{comparison}: broken and waived", comparison=name_of(comparison)),
        )


def ratios(comparison: Comparison) -> Iterator[Table]:
    """Numerator, denominator, floor and ratio of every dual benchmark, over all pairs and for each."""
    for verdict in comparison.verdicts:
        if (dual := verdict.dual) is None:
            continue
        mine, other, reference = comparison.actual.arm, verdict.limit.ratio_to, comparison.expected.arm
        yield table(
            (
                say("Case"),
                say("Seed"),
                say("Error of {arm}", arm=mine),
                say("Error of {arm}", arm=other),
                say("Floor"),
                say("Ratio"),
            ),
            [
                _ratio_cells(say("all"), say("all"), (dual.error, dual.other, dual.floor, dual.ratio)),
                *(
                    _ratio_cells(each.key.case, str(each.key.seed), (each.error, each.other, dual.floor, each.ratio))
                    for each in dual.pairs
                ),
            ],
            title=say("{name}: {text}", name=name_of(comparison), text=translated(verdict.limit.rule)),
            note=say(
                "Errors are against {reference}. The first row is judged: the root mean square over all pairs. An "
                "error of {other} below the floor is replaced by it: less is the rounding of the type alone.",
                reference=reference,
                other=other,
            ),
        )


def _ratio_cells(case: str, seed: str, numbers: tuple[float, ...]) -> list[Cell]:
    return [code(case), figure(seed), *(figure(_number(number)) for number in numbers)]


def _number(value: float | None) -> str:
    return words.NONE if value is None else words.number(value)


def _verdicts(comparison: Comparison) -> list[Verdict]:
    return [*comparison.verdicts, *(verdict for pair in comparison.pairs for verdict in pair.verdicts)]
