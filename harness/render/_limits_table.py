"""Rows of the tables about limits: what was judged, what is broken and waived, and ratios of two arms' errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.answers import room
from harness.language import many, say, translated
from harness.records import Status, unused_waivers, worst
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Cell, Table, code, figure, plain, table, word
from harness.render._format import pair_count
from harness.render._lookup import name_of, place_of, worst_pair
from harness.scenario import own_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Comparison, Limit, Pair, Report, Verdict, Waiver

_KEPT = {Status.IDENTICAL, Status.WITHIN_LIMITS}


# --- limits ----------------------------------------------------------------------------------------------------------


def limits(report: Report) -> Table:
    """Every limit of the scenario with the reason for its number."""
    rows = [
        [code(rule(limit)), plain(labels.judges(limit.scope)), plain(_reason(report, limit))]
        for limit in report.scenario.limits
    ]
    return table((say("Limit"), say("Judges"), say("Reason for the number")), rows)


def rule(limit: Limit) -> str:
    """A limit in words, with the arm and the device it is for."""
    return formats.with_remark(translated(limit.rule), translated(limit.holds_for))


def _reason(report: Report, limit: Limit) -> str:
    if (evidence := limit.evidence) is None:
        return own_words(report.scenario, limit.why)
    return say(
        "{reason} Measured on {date} on {device}: the worst of {amount} was {worst}; margin {margin}; rule: {rule}.",
        reason=own_words(report.scenario, limit.why),
        date=evidence.date,
        device=evidence.device,
        amount=many("{count} value", "{count} values", evidence.samples),
        worst=formats.number(evidence.worst),
        margin=formats.number(evidence.margin),
        rule=translated(evidence.rule),
    )


def verdicts(comparison: Comparison) -> Table:
    """Each limit of a comparison: what was allowed, the worst that was measured, and the word."""
    return table(
        (say("Limit"), say("Verdict"), say("Worst measured"), say("Where"), say("Pairs passing")),
        [verdict_cells(comparison, limit) for limit in comparison.limits],
        title=say("{comparison}: limits", comparison=name_of(comparison)),
    )


def verdict_cells(comparison: Comparison, limit: Limit, *, short: bool = False) -> list[Cell]:
    """Limit, verdict, worst value, where, and how many pairs keep it; ``short`` without channels and samples."""
    ratio = next((verdict for verdict in comparison.verdicts if verdict.limit == limit), None)
    if ratio is not None:
        return _ratio_row(ratio)
    judged = [(pair, verdict) for pair in comparison.pairs for verdict in pair.verdicts if verdict.limit == limit]
    if not judged:
        return [code(rule(limit)), plain(say("not judged")), *[plain(labels.NONE)] * 2, plain(_kept_by(0, 0))]
    pair, verdict = min(judged, key=lambda row: _verdict_order(row[1]))
    kept = sum(judgement.status in _KEPT for _, judgement in judged)
    return [
        code(rule(limit)),
        word(worst([judgement.status for _, judgement in judged])),
        figure(measured(pair, verdict, short=short)),
        plain(labels.key(pair.key) if short else place_of(pair)),
        plain(say("{part} of {whole}", part=kept, whole=len(judged)) if short else _kept_by(kept, len(judged))),
    ]


def _kept_by(kept: int, count: int) -> str:
    return many("{kept} of {count} pair", "{kept} of {count} pairs", count, kept=kept)


def _ratio_row(verdict: Verdict) -> list[Cell]:
    dual = verdict.dual
    if dual is None and verdict.measured is not None:
        where = plain(say("farther end of the 90 % interval of the difference"))
        kept = plain(say("{kept} of 1 score", kept=int(verdict.status in _KEPT)))
        return [code(rule(verdict.limit)), word(verdict.status), figure(formats.number(verdict.measured)), where, kept]
    return [
        code(rule(verdict.limit)),
        word(verdict.status),
        figure(formats.number(dual.ratio)) if dual else plain(formats.undefined(verdict.message)),
        plain(say("root mean square over {pairs}", pairs=pair_count(len(dual.pairs))) if dual else labels.NONE),
        plain(say("{kept} of 1 ratio", kept=int(verdict.status in _KEPT))),
    ]


def _verdict_order(verdict: Verdict) -> tuple[int, float]:
    return (labels.RANKS[verdict.status], room(verdict))


def measured(pair: Pair, verdict: Verdict, *, short: bool = False) -> str:
    """The value that a verdict is about, with its unit; ``short`` without the values of channels."""
    pair_and_value = worst_pair([pair], verdict.limit.metric, verdict.limit.subject)
    if pair_and_value is not None and pair_and_value[1].value == verdict.measured:
        return formats.measured(pair_and_value[1], unit=True, parts=not short)
    return formats.number(verdict.measured) if verdict.measured is not None else formats.undefined(verdict.message)


# --- waivers and ratios ----------------------------------------------------------------------------------------------


def waivers(report: Report) -> Table:
    """Every waiver with its reason, its owner and its last day, and what came of it."""
    collected = [
        *report.scenario.waivers,
        *(waiver for comparison in report.comparisons for waiver in comparison.waivers),
    ]
    distinct = [waiver for index, waiver in enumerate(collected) if waiver not in collected[:index]]
    rows = [
        [
            plain(waiver.metric or say("every metric")),
            plain(labels.judges(waiver.scope)),
            plain(formats.names(filter(None, (waiver.arm, waiver.case))) or say("all")),
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
    asked = [comparison for comparison in report.comparisons if waiver in comparison.waivers]
    if excused:
        return many("excuses {count} broken limit", "excuses {count} broken limits", excused)
    if any(comparison.judged_on and comparison.judged_on > waiver.expires for comparison in asked):
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
                    _ratio_cells(pair.key.case, labels.seed(pair.key), (pair.error, pair.other, dual.floor, pair.ratio))
                    for pair in dual.pairs
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
    return labels.NONE if value is None else formats.number(value)


def _verdicts(comparison: Comparison) -> list[Verdict]:
    return [*comparison.verdicts, *(verdict for pair in comparison.pairs for verdict in pair.verdicts)]
