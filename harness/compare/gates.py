"""Measurements meet limits; everything is computed first and judged once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.records import Comparison, Limit, Pair, Scope, Status, Verdict, worst

if TYPE_CHECKING:
    from harness.records import Measurement


def judge(comparison: Comparison, limits: list[Limit] | None = None) -> Comparison:
    """The comparison with a verdict for every limit and pair, and one word for the whole.

    ``limits`` replaces the limits the comparison was stored with.
    """
    wanted = comparison.limits if limits is None else [each for each in limits if each.scope is comparison.scope]
    judged = comparison.model_copy(
        update={"limits": wanted, "pairs": [_judged(pair, wanted, comparison.scope) for pair in comparison.pairs]}
    )
    outcome, message = _outcome(judged)
    message = "; ".join([message, *judged.notes])
    return judged.model_copy(update={"outcome": outcome, "message": message})


def _judged(pair: Pair, limits: list[Limit], scope: Scope) -> Pair:
    return pair.model_copy(update={"verdicts": [_verdict(limit, pair, scope) for limit in limits]})


def _verdict(limit: Limit, pair: Pair, scope: Scope) -> Verdict:
    measurement = next(
        (each for each in pair.measurements if each.metric == limit.metric and each.subject == limit.subject), None
    )
    if measurement is None or measurement.value is None:
        why = measurement.problem if measurement else "it was not measured"
        return Verdict(
            limit=limit,
            measured=None,
            status=Status.ERROR,
            message=f"{limit.metric} has no value for {pair.key}: {why}; allowed: {limit.rule}.",
        )
    failed = Status.UNSTABLE if scope is Scope.REPEAT else Status.DRIFT
    passed = Status.IDENTICAL if pair.identical else Status.WITHIN_LIMITS
    return Verdict(
        limit=limit,
        measured=measurement.value,
        status=passed if keeps(measurement, limit) else failed,
        message=_words(limit, pair, measurement),
    )


def keeps(measurement: Measurement, limit: Limit) -> bool:
    """Whether a measurement keeps a limit; a distance with a sign is as bad as it is far from zero."""
    value = math.nan if measurement.value is None else measurement.value
    return holds(limit, abs(value) if measurement.better == "lower" else value)


def holds(limit: Limit, value: float) -> bool:
    """Whether a value keeps a limit; NaN keeps none.

    >>> limit = Limit(metric="psnr_db", scope=Scope.REFERENCE, at_least=40, reason="for the example")
    >>> holds(limit, 41.0), holds(limit, 39.0), holds(limit, math.inf), holds(limit, math.nan)
    (True, False, True, False)
    """
    if math.isnan(value):
        return False
    return (
        (limit.at_least is None or value >= limit.at_least)
        and (limit.at_most is None or value <= limit.at_most)
        and (limit.equals is None or value == limit.equals)
    )


def _words(limit: Limit, pair: Pair, measurement: Measurement) -> str:
    unit = f" {measurement.unit}" if measurement.unit else ""
    where = f" at {measurement.where}" if measurement.where else ""
    value = "no value" if measurement.value is None else f"{measurement.value:.6g}{unit}"
    return f"{pair.key}, {pair.actual} against {pair.expected}: {value}{where}; allowed: {limit.rule}{unit}."


def _outcome(comparison: Comparison) -> tuple[Status, str]:
    """The word for a comparison; structure decides before numbers do."""
    if comparison.failures:
        first = comparison.failures[0]
        more = f" (and {len(comparison.failures) - 1} more)" if len(comparison.failures) > 1 else ""
        return Status.ERROR, f"{first.stage} failed: {first.error}: {first.message}{more}"
    if comparison.missing or comparison.unexpected:
        lacking = ", ".join(map(str, comparison.missing)) or "none"
        surplus = ", ".join(map(str, comparison.unexpected)) or "none"
        return Status.ERROR, f"the two sides hold different cases: missing {lacking}; unexpected {surplus}"
    if comparison.differences:
        return Status.NOT_COMPARABLE, "; ".join(comparison.differences)
    if comparison.scope is Scope.REPEAT:
        return _repeat_outcome(comparison)
    if not comparison.pairs:
        return Status.ERROR, "there was nothing to compare"
    return _verdict_outcome(comparison)


def _repeat_outcome(comparison: Comparison) -> tuple[Status, str]:
    repetitions = comparison.repetitions
    if not repetitions:
        return Status.ERROR, "there was nothing to compare"
    unstable = [each for each in repetitions if each.status is Status.UNSTABLE]
    broken = _broken(comparison)
    if not unstable:
        if broken:
            return _broken_limits(comparison, broken)
        status = worst([each.status for each in repetitions])
        return status, repetitions[0].pattern if status is Status.SKIPPED else _all_same(comparison)
    differing = [pair for pair in comparison.pairs if not pair.identical]
    unjudged = [pair for pair in differing if not _is_judged(pair)]
    if differing and not broken and not unjudged:
        return Status.WITHIN_LIMITS, f"not bit-identical, within the limits: {unstable[0].key}: {unstable[0].pattern}"
    no_limit = "; no limit judges what differs" if unjudged and not broken and comparison.limits else ""
    return worst([Status.UNSTABLE, *(verdict.status for verdict in broken)]), (
        f"{len(unstable)} of {len(repetitions)} cases are not repeatable; "
        f"{unstable[0].key}: {unstable[0].pattern}{no_limit}"
    )


def _is_judged(pair: Pair) -> bool:
    """Whether a limit looks at something that differs: one on equal pictures says nothing about other float outputs."""
    different = {each.subject for each in pair.measurements if each.metric == "identical" and each.value != 1}
    return any(verdict.limit.subject in different for verdict in pair.verdicts)


def _all_same(comparison: Comparison) -> str:
    runs = _counted({each.runs for each in comparison.repetitions}, "run", "runs")
    processes = _counted({each.processes for each in comparison.repetitions}, "process", "processes")
    bound = max(each.bound_95 for each in comparison.repetitions)
    return (
        f"every case gave the same bytes in {runs} and {processes}, which excludes, at 95 % confidence, only a rate of "
        f"differing runs above {bound * 100:.0f} %"
    )


def _counted(numbers: set[int], one: str, many: str) -> str:
    """Numbers in words, such as ``1 run`` or ``2 or 3 runs``."""
    return " or ".join(map(str, sorted(numbers))) + f" {one if numbers == {1} else many}"


def _verdict_outcome(comparison: Comparison) -> tuple[Status, str]:
    if broken := _broken(comparison):
        return _broken_limits(comparison, broken)
    if all(pair.identical for pair in comparison.pairs):
        return Status.IDENTICAL, f"all {len(comparison.pairs)} pairs are equal byte for byte"
    verdicts = _verdicts(comparison)
    if not verdicts:
        return Status.SKIPPED, "measured, but no limit judges it"
    return worst([verdict.status for verdict in verdicts]), f"all {len(verdicts)} limits are kept"


def _verdicts(comparison: Comparison) -> list[Verdict]:
    return [verdict for pair in comparison.pairs for verdict in pair.verdicts]


def _broken(comparison: Comparison) -> list[Verdict]:
    """Limits that are not kept, or that had nothing to judge; equal bytes excuse neither."""
    kept = {Status.IDENTICAL, Status.WITHIN_LIMITS}
    return [verdict for verdict in _verdicts(comparison) if verdict.status not in kept]


def _broken_limits(comparison: Comparison, broken: list[Verdict]) -> tuple[Status, str]:
    status = worst([verdict.status for verdict in broken])
    worst_one = next(verdict for verdict in broken if verdict.status is status)
    return status, f"{len(broken)} of {len(_verdicts(comparison))} limits are broken; {worst_one.message}"
