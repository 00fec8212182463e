"""Measurements meet limits; everything is computed first and judged once."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from harness import plugins
from harness.compare.dual import NoRatio, dual_ratio
from harness.compare.parity import parity_verdict
from harness.language import marked, recordable, recorded, recorded_many
from harness.message import joined, of_error
from harness.records import EXIT_CODES, Comparison, Limit, OnPurpose, Pair, Scope, Status, Verdict, listed, worst

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from harness.records import CaseKey, DualRatio, Failure, Measurement, Unfit, Waiver

_NONE = marked("none")


def judge(
    comparison: Comparison,
    limits: list[Limit] | None = None,
    waivers: list[Waiver] | None = None,
    *,
    today: date,
) -> Comparison:
    """The comparison with a verdict for every limit and pair, and one word for the whole.

    ``limits`` and ``waivers`` replace those the comparison was stored with. ``today`` decides which waivers still hold.
    """
    wanted = in_force(comparison.limits if limits is None else limits, comparison)
    scores = plugins.names("scores")
    of_pairs = [limit for limit in wanted if limit.ratio_to is None and limit.metric not in scores]
    excuses = _excuses(comparison.waivers if waivers is None else waivers, comparison)
    excuse = partial(_excused, waivers=excuses, today=today)
    judged = comparison.model_copy(
        update={
            "limits": wanted,
            "waivers": excuses,
            "judged_on": today if excuses else None,
            "pairs": [_judged(pair, of_pairs, comparison.scope, excuse) for pair in comparison.pairs],
            "verdicts": [
                excuse((parity_verdict if limit.ratio_to is None else _dual_verdict)(comparison, limit), None)
                for limit in wanted
                if limit not in of_pairs and comparison.pairs
            ],
        }
    )
    outcome, message = _outcome(judged)
    message = joined([message, *judged.notes])
    return judged.model_copy(update={"outcome": outcome, "message": message, "notices": _notices(judged)})


# --- which limits and waivers ----------------------------------------------------------------------------------------


def in_force(limits: list[Limit], comparison: Comparison) -> list[Limit]:
    """The limits that judge a comparison: for each metric and subject the best match, in the order ``Limit`` states."""
    ranked = [(limit, rank) for limit in limits if (rank := _match(limit, comparison)) is not None]
    best: dict[tuple[str | None, ...], tuple[bool, int]] = {}
    for limit, rank in ranked:
        best[_kind(limit)] = max(rank, best.get(_kind(limit), rank))
    return [limit for limit, rank in ranked if rank == best[_kind(limit)]]


def _kind(limit: Limit) -> tuple[str | None, ...]:
    return limit.metric, limit.subject, limit.ratio_to


def _match(limit: Limit, comparison: Comparison) -> tuple[bool, int] | None:
    """How closely a limit names the arm and the device of a comparison; None where it is for others."""
    if limit.scope is not comparison.scope or limit.arm not in {None, comparison.expected.arm}:
        return None
    wanted, _, product = (limit.device or "").lower().partition(":")
    side = comparison.actual
    backend = side.backend or side.device.partition(":")[0]
    if limit.device is not None and (wanted != backend.lower() or not side.device_name.lower().startswith(product)):
        return None
    return closeness(limit)


def closeness(limit: Limit) -> tuple[bool, int]:
    """How much of arm and device a limit names; of those that match, the closest one judges.

    >>> of = {"metric": "mse", "scope": Scope.REFERENCE, "at_most": 1, "reason": "for the example"}
    >>> closeness(Limit(**of)) < closeness(Limit(**of, device="npu")) < closeness(Limit(**of, device="npu:Ascend"))
    True
    """
    _, _, product = (limit.device or "").partition(":")
    return limit.arm is not None, 0 if limit.device is None else 1 + len(product)


def _excuses(waivers: list[Waiver], comparison: Comparison) -> list[Waiver]:
    """The waivers that are for the arms and cases of a comparison, expired ones too."""
    arms = {None, comparison.actual.arm, comparison.expected.arm}
    cases = {None, *(pair.key.case for pair in comparison.pairs)}
    return [
        waiver for waiver in waivers if waiver.scope is comparison.scope and waiver.arm in arms and waiver.case in cases
    ]


def _excused(verdict: Verdict, case: str | None, waivers: list[Waiver], today: date) -> Verdict:
    """The verdict, waived where a waiver that still holds covers a broken limit; ``case`` is None for all cases."""
    covering = [
        candidate
        for candidate in waivers
        if candidate.metric in {None, verdict.limit.metric} and candidate.case in {None, case}
    ]
    if not covering or verdict.status not in {Status.DRIFT, Status.UNSTABLE}:
        return verdict
    waiver = max(covering, key=lambda candidate: candidate.expires)
    if waiver.expires < today:
        message = recorded(
            "{message!s} A waiver by {owner} expired on {day}.",
            message=verdict.message,
            owner=waiver.owner,
            day=waiver.expires,
        )
        return verdict.model_copy(update={"message": message})
    message = recorded(
        "{message!s} Waived by {owner} until {day}: {reason!s}",
        message=verdict.message,
        owner=waiver.owner,
        day=waiver.expires,
        reason=waiver.reason,
    )
    return verdict.model_copy(update={"status": Status.WAIVED, "message": message, "waiver": waiver})


def _notices(judged: Comparison) -> list[str]:
    """What a reader wants to know beside the verdicts."""
    divided_by = [
        yardstick for yardstick in judged.yardsticks if any(yardstick.actual.arm == of.ratio_to for of in judged.limits)
    ]
    expired = [waiver for waiver in judged.waivers if judged.judged_on and waiver.expires < judged.judged_on]
    return [
        *(notice for limit in judged.limits if (notice := _too_good(limit, judged))),
        *(
            recorded(
                "The waiver of {rule} by {owner} expired on {day}.",
                rule=waiver.rule,
                owner=waiver.owner,
                day=waiver.expires,
            )
            for waiver in expired
        ),
        *(
            recorded("{name:s}: {text}", name=yardstick.actual.arm, text=note)
            for yardstick in divided_by
            for note in yardstick.notes
        ),
        *_without_effect(judged),
    ]


def _without_effect(judged: Comparison) -> list[str]:
    """A sentence where a difference is allowed that is not there."""
    if judged.differing is None:
        return []
    alike = [what for what in judged.differs_in if what not in judged.differing]
    sentences = {
        OnPurpose.MODEL: recorded("differs_in had no effect here: no difference of the two sides' models is known."),
        OnPurpose.ARGUMENTS: recorded("differs_in had no effect here: both sides' calls had the same arguments."),
    }
    same = recordable("differs_in had no effect here: {what:s} is the same on both sides.")
    return [sentences.get(what) or recorded(same, what=what.value) for what in alike]


def _too_good(limit: Limit, judged: Comparison) -> str:
    """A sentence where every value is better than the worst that the limit was taken from, by more than its margin."""
    values, evidence = _goodness(limit, judged), limit.evidence
    if not values or evidence is None:
        return ""
    higher = values[0][1]
    beaten = [
        value > evidence.worst + evidence.margin if higher else value < evidence.worst - evidence.margin
        for value, _ in values
    ]
    if not all(beaten):
        return ""
    now = (min if higher else max)(value for value, _ in values)
    return recorded(
        "{limit}: clearly better than when the limit was measured; the worst is {now:.6g}, it was {worst:.6g} on "
        "{device} on {day}, with a margin of {margin:.6g}. Calibrate again: so wide a limit hides faults.",
        limit=limit.rule,
        now=now,
        worst=evidence.worst,
        device=evidence.device,
        day=evidence.date,
        margin=evidence.margin,
    )


def _goodness(limit: Limit, judged: Comparison) -> list[tuple[float, bool]]:
    """Every value that the limit judged, and whether higher is better; empty where one is missing."""
    if limit.ratio_to is not None:
        ratios = [verdict.measured for verdict in judged.verdicts if verdict.limit == limit]
        return [(ratio, False) for ratio in ratios if ratio is not None]
    values = []
    for pair in judged.pairs:
        measurement = pair.measurement(limit.metric, limit.subject)
        if measurement is None or measurement.value is None:
            return []
        higher = measurement.better == "higher"
        values.append((measurement.value if higher else abs(measurement.value), higher))
    return values


# --- one limit -------------------------------------------------------------------------------------------------------


def _judged(pair: Pair, limits: list[Limit], scope: Scope, excuse: Callable[[Verdict, str], Verdict]) -> Pair:
    verdicts = [_verdict(limit, pair, scope) for limit in limits if _is_for(limit, pair)]
    return pair.model_copy(update={"verdicts": [excuse(verdict, pair.key.case) for verdict in verdicts]})


def _is_for(limit: Limit, pair: Pair) -> bool:
    """Whether a limit judges a pair: of videos the stored frames, and whole videos by their latents and digests."""
    whole = limit.subject == "latents" or (limit.metric, limit.subject) == ("identical", "image")
    if pair.video is not None:
        return whole
    return limit.subject != "latents" if pair.key.frame else True


def _verdict(limit: Limit, pair: Pair, scope: Scope) -> Verdict:
    measurement = pair.measurement(limit.metric, limit.subject)
    if measurement is None or measurement.value is None:
        why = measurement.problem if measurement else recorded("it was not measured")
        return Verdict(
            limit=limit,
            measured=None,
            status=Status.ERROR,
            message=recorded(
                "{metric:s} has no value for {key}: {why!s}; allowed: {limit}.",
                metric=limit.metric,
                key=pair.key,
                why=why,
                limit=limit.rule,
            ),
        )
    failed = Status.UNSTABLE if scope is Scope.REPEAT else Status.DRIFT
    passed = Status.IDENTICAL if pair.identical else Status.WITHIN_LIMITS
    return Verdict(
        limit=limit,
        measured=measurement.value,
        status=passed if keeps(measurement, limit) else failed,
        message=_words(limit, pair, measurement),
    )


def _dual_verdict(comparison: Comparison, limit: Limit) -> Verdict:
    """The verdict on the ratio of two arms' errors, over all pairs together."""
    try:
        dual = dual_ratio(comparison, limit)
    except NoRatio as error:
        message = recorded("{found!s}; allowed: {limit}.", found=of_error(error), limit=allowed(limit))
        return Verdict(limit=limit, measured=None, status=error.status, message=message)
    passed = Status.IDENTICAL if all(pair.identical for pair in comparison.pairs) else Status.WITHIN_LIMITS
    return Verdict(
        limit=limit,
        measured=dual.ratio,
        status=passed if holds(limit, dual.ratio) else Status.DRIFT,
        message=_dual_words(limit, comparison, dual),
        dual=dual,
    )


def _dual_words(limit: Limit, comparison: Comparison, dual: DualRatio) -> str:
    other = f"{dual.other:.6g}"
    if dual.other < dual.floor:
        other = recorded("{other}, taken as the floor {floor:.3g}", other=other, floor=dual.floor)
    return recorded(
        "{actual:s} {error:.6g} over {arm:s} {other}, both against {expected:s}: dual_ratio {ratio:.6g}, root mean "
        "square over {pairs}, worst {key} with {worst:.6g}; allowed: {limit}.",
        actual=comparison.actual.arm,
        error=dual.error,
        arm=limit.ratio_to,
        other=other,
        expected=comparison.expected.arm,
        ratio=dual.ratio,
        pairs=recorded_many("1 pair", "{count:d} pairs", len(dual.pairs)),
        key=dual.pairs[0].key,
        worst=dual.pairs[0].ratio,
        limit=allowed(limit),
    )


def allowed(limit: Limit, unit: str = "") -> str:
    """The limit in words, and where it holds if it does not hold everywhere."""
    rule = recorded("{amount} {unit}", amount=limit.rule, unit=unit) if unit else limit.rule
    return recorded("{limit} (the limit for {place})", limit=rule, place=limit.holds_for) if limit.holds_for else rule


def amount(measurement: Measurement) -> str:
    """The value in words, with its unit if it has one."""
    value = f"{math.nan if measurement.value is None else measurement.value:.6g}"
    return recorded("{amount} {unit}", amount=value, unit=measurement.unit) if measurement.unit else value


def keeps(measurement: Measurement, limit: Limit) -> bool:
    """Whether a measurement keeps a limit.

    A distance with a sign is as bad as it is far from zero; only ``at_least`` looks at the sign, so that ``at_least
    -0.1`` bounds a shift to the negative side.
    """
    value = math.nan if measurement.value is None else measurement.value
    sized = measurement.better == "lower" and limit.at_least is None
    return holds(limit, abs(value) if sized else value)


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
    value, unit = amount(measurement), measurement.unit
    expected = pair.expected
    if pair.accepted_outcome is not None:
        expected = recorded(
            "{sample:s}, accepted outcome {number} of {count}",
            sample=pair.expected,
            number=pair.accepted_outcome,
            count=pair.accepted_outcomes,
        )
    if not measurement.where:
        return recorded(
            "{key}, {actual:s} against {expected}: {value}; allowed: {limit}.",
            key=pair.key,
            actual=pair.actual,
            expected=expected,
            value=value,
            limit=allowed(limit, unit),
        )
    return recorded(
        "{key}, {actual:s} against {expected}: {value} at {place}; allowed: {limit}.",
        key=pair.key,
        actual=pair.actual,
        expected=expected,
        value=value,
        place=measurement.where,
        limit=allowed(limit, unit),
    )


def failing(comparison: Comparison) -> list[CaseKey]:
    """Cases and seeds that keep a judged comparison from passing; empty where it passes, or as a whole does not."""
    if EXIT_CODES[comparison.outcome] == 0 or comparison.outcome is Status.SKIPPED:
        return []
    keys = [failure.key for failure in comparison.failures if failure.key is not None]
    keys += [*(unfit.key for unfit in comparison.unfit), *comparison.missing]
    keys += [repetition.key for repetition in comparison.repetitions if repetition.status is Status.UNSTABLE]
    keys += [pair.key for pair in comparison.pairs if any(EXIT_CODES[verdict.status] != 0 for verdict in pair.verdicts)]
    return list(dict.fromkeys(keys))


def _outcome(comparison: Comparison) -> tuple[Status, str]:
    """The word for a comparison; structure decides before numbers do."""
    if comparison.failures:
        return Status.ERROR, _failed(comparison.failures)
    if comparison.missing_baseline or comparison.missing or comparison.unexpected:
        return _absent_outcome(comparison)
    if comparison.differences:
        return Status.NOT_COMPARABLE, joined(comparison.differences)
    if comparison.unfit:
        return Status.ERROR, _unfit(comparison.unfit)
    return _repeat_outcome(comparison) if comparison.scope is Scope.REPEAT else _pair_outcome(comparison)


def _pair_outcome(comparison: Comparison) -> tuple[Status, str]:
    if not comparison.pairs:
        return Status.ERROR, recorded("there was nothing to compare")
    return _verdict_outcome(comparison)


def _unfit(unfit: list[Unfit]) -> str:
    first = unfit[0].message
    if len(unfit) == 1:
        return first
    return recorded("{first!s} (and {count:d} more)", first=first, count=len(unfit) - 1)


def _failed(failures: list[Failure]) -> str:
    first = failures[0]
    message = recorded(
        "{stage} failed: {error}: {message!s}", stage=first.stage, error=first.error, message=first.message
    )
    if len(failures) == 1:
        return message
    return recorded("{first!s} (and {count:d} more)", first=message, count=len(failures) - 1)


def _absent_outcome(comparison: Comparison) -> tuple[Status, str]:
    if comparison.missing_baseline:
        return Status.MISSING_BASELINE, comparison.missing_baseline
    message = recorded(
        "the two sides hold different cases: missing {missing}; unexpected {unexpected}",
        missing=listed(comparison.missing) or _NONE,
        unexpected=listed(comparison.unexpected) or _NONE,
    )
    return Status.ERROR, message


def _repeat_outcome(comparison: Comparison) -> tuple[Status, str]:
    repetitions = comparison.repetitions
    if not repetitions:
        return Status.ERROR, recorded("there was nothing to compare")
    unstable = [repetition for repetition in repetitions if repetition.status is Status.UNSTABLE]
    broken = _broken(comparison)
    if not unstable:
        if complaint := _complaint(comparison):
            return complaint
        status = worst([repetition.status for repetition in repetitions])
        return status, repetitions[0].pattern if status is Status.SKIPPED else _all_same(comparison)
    differing = [pair for pair in comparison.pairs if not pair.identical]
    unjudged = [pair for pair in differing if not _is_judged(pair)]
    if differing and not broken and not unjudged:
        kept = recorded(
            "not bit-identical, within the limits: {key}: {pattern}", key=unstable[0].key, pattern=unstable[0].pattern
        )
        return _complaint(comparison) or (Status.WITHIN_LIMITS, kept)
    sentences = [
        recorded(
            "{count:d} of {total:d} cases are not repeatable; {key}: {pattern}",
            count=len(unstable),
            total=len(repetitions),
            key=unstable[0].key,
            pattern=unstable[0].pattern,
        )
    ]
    if unjudged and not broken and comparison.limits:
        sentences.append(recorded("no limit judges what differs"))
    return worst([Status.UNSTABLE, *(verdict.status for verdict in broken)]), joined(sentences)


def _is_judged(pair: Pair) -> bool:
    """Whether a limit looks at something that differs: one on equal pictures says nothing about other float outputs."""
    different = {
        measurement.subject
        for measurement in pair.measurements
        if measurement.metric == "identical" and measurement.value != 1
    }
    return any(verdict.limit.subject in different for verdict in pair.verdicts)


def _all_same(comparison: Comparison) -> str:
    runs = {repetition.runs for repetition in comparison.repetitions}
    processes = {repetition.processes for repetition in comparison.repetitions}
    return recorded(
        "every case gave the same bytes in {runs} and {processes}, which excludes, at 95 % confidence, only a rate of "
        "differing runs above {rate:.0f} %",
        runs=_runs(runs),
        processes=_processes(processes),
        rate=100 * max(repetition.bound_95 for repetition in comparison.repetitions),
    )


def _runs(numbers: set[int]) -> str:
    """Numbers of runs in words, such as ``1 run`` or ``2 or 3 runs``."""
    *others, most = sorted(numbers)
    if others:
        return recorded("{others} or {most:d} runs", others=others, most=most)
    return recorded_many("1 run", "{count:d} runs", most)


def _processes(numbers: set[int]) -> str:
    *others, most = sorted(numbers)
    if others:
        return recorded("{others} or {most:d} processes", others=others, most=most)
    return recorded_many("1 process", "{count:d} processes", most)


def _verdict_outcome(comparison: Comparison) -> tuple[Status, str]:
    if complaint := _complaint(comparison):
        return complaint
    if all(pair.identical for pair in comparison.pairs):
        return Status.IDENTICAL, recorded("all {count:d} pairs are equal byte for byte", count=len(comparison.pairs))
    verdicts = _verdicts(comparison)
    if not verdicts:
        return Status.SKIPPED, recorded("measured, but no limit judges it")
    message = recorded("all {count:d} limits are kept", count=len(verdicts))
    return worst([verdict.status for verdict in verdicts]), message


def _verdicts(comparison: Comparison) -> list[Verdict]:
    return [*comparison.verdicts, *(verdict for pair in comparison.pairs for verdict in pair.verdicts)]


def _broken(comparison: Comparison) -> list[Verdict]:
    """Limits that are not kept, or that had nothing to judge; equal bytes excuse neither, a waiver only the first."""
    passed = {Status.IDENTICAL, Status.WITHIN_LIMITS, Status.WAIVED}
    return [verdict for verdict in _verdicts(comparison) if verdict.status not in passed]


def _waived(comparison: Comparison) -> list[Verdict]:
    return [verdict for verdict in _verdicts(comparison) if verdict.status is Status.WAIVED]


def _complaint(comparison: Comparison) -> tuple[Status, str] | None:
    """What is to be said of limits that are not kept; None where all are."""
    broken, waived, total = _broken(comparison), _waived(comparison), len(_verdicts(comparison))
    if broken:
        status = worst([verdict.status for verdict in broken])
        worst_one = next(verdict for verdict in broken if verdict.status is status)
        of = recorded("{total:d} verdicts", total=total)
        if waived:
            of = recorded("{total:d} verdicts and {waived:d} more waived", total=total, waived=len(waived))
        message = recorded(
            "limits are broken in {count:d} of {verdicts}; {worst!s}",
            count=len(broken),
            verdicts=of,
            worst=worst_one.message,
        )
        return status, message
    if waived:
        message = recorded(
            "limits are broken and waived in {count:d} of {total:d} verdicts; {first!s}",
            count=len(waived),
            total=total,
            first=waived[0].message,
        )
        return Status.WAIVED, message
    return None
