"""Are the scores of two arms equivalent? Shown by an interval that lies within a margin, never by a lack of evidence.

A pair is one case and seed whose two pictures began with the same noise. Equivalence within a margin is shown when the
90 % interval of the difference lies inside it, which is two one-sided tests at 5 % each (Schuirmann 1987,
J. Pharmacokinet. Biopharm. 15:657). That a difference is "not significant" shows nothing and is never said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare.intervals import paired_interval, paired_mean_interval, pairs_needed
from harness.compare.scores import firsts, is_strict, total
from harness.language import recorded
from harness.message import joined
from harness.records import EquivalenceVerdict, NoiseMode, Parity, Scope, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records import ArmScores, CaseKey, Comparison, Limit, Number, Score


def with_parities(comparison: Comparison, scores: Mapping[str, ArmScores]) -> Comparison:
    """The comparison with a statement for every score that both sides have; ``scores`` are by run.

    Two sides that cannot be compared, because their noise or their inputs differ, get none.
    """
    actual, expected = scores.get(comparison.actual.id), scores.get(comparison.expected.id)
    if comparison.scope is not Scope.REFERENCE or comparison.differences or actual is None or expected is None:
        return comparison
    shared = [name for name, spec in actual.specs.items() if expected.specs.get(name) == spec]
    return comparison.model_copy(update={"parities": [_parity(comparison, actual, expected, name) for name in shared]})


def parity_verdict(comparison: Comparison, limit: Limit) -> Verdict:
    """A limit on a score: the end of the interval that lies farther from 0 must be within the limit.

    Who sets such a limit asks for proof, so equivalence that is not shown breaks it like a difference that is.
    """
    parity = next((candidate for candidate in comparison.parities if candidate.score == limit.metric), None)
    if parity is None or parity.low is None or parity.high is None or parity.one_sided:
        why = _why_not(parity)
        message = recorded(
            "{score:s} of the two sides cannot be judged: {why!s}; allowed: {limit}.",
            score=limit.metric,
            why=why,
            limit=limit.rule,
        )
        return Verdict(limit=limit, measured=None, status=Status.ERROR, message=message)
    margin = limit.at_most or 0.0
    judged = parity.model_copy(update={"margin": margin})
    farthest = max(abs(parity.low), abs(parity.high))
    return Verdict(
        limit=limit,
        measured=farthest,
        status=Status.WITHIN_LIMITS if farthest < margin else Status.DRIFT,
        message=recorded("{found!s}; allowed: {limit}.", found=_statement(judged, comparison), limit=limit.rule),
    )


def _why_not(parity: Parity | None) -> str:
    if parity is None:
        return recorded("it was not scored on both sides; name it under scores in the scenario and run harness check")
    if parity.one_sided:
        return recorded("one side alone has a value for {key}", key=parity.one_sided[0])
    return recorded("no case and seed has a value")


def _parity(comparison: Comparison, actual: ArmScores, expected: ArmScores, name: str) -> Parity:
    ours, others = firsts(actual.scores, name), firsts(expected.scores, name)
    keys = [pair.key for pair in comparison.pairs if pair.video is None]
    known = {key: (_value(ours, key), _value(others, key)) for key in dict.fromkeys(keys)}
    values = {key: (a, b) for key, (a, b) in known.items() if a is not None and b is not None}
    low, high = _interval(list(values.values())) if values else (None, None)
    square = sum((a - b) ** 2 for a, b in values.values()) / len(values) if values else None
    sides = [total(name, [scores[key] for key in values]) for scores in (ours, others)]
    parity = Parity(
        score=name,
        task=actual.task,
        margin=actual.parity_margin,
        pairs=len(values),
        actual=sides[0],
        expected=sides[1],
        only_actual=sum(a > b for a, b in values.values()),
        only_expected=sum(a < b for a, b in values.values()),
        difference=sum(a - b for a, b in values.values()) / len(values) if values else None,
        low=low,
        high=high,
        standing=standing(low, high, actual.parity_margin),
        mean_square=square,
        pairs_needed=None if square is None else pairs_needed(square, actual.parity_margin),
        without_value=[key for key, both in known.items() if both == (None, None)],
        one_sided=[key for key, (a, b) in known.items() if (a is None) != (b is None)],
        message="",
    )
    return parity.model_copy(update={"message": _statement(parity, comparison)})


def _interval(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """90 % interval of the difference: Tango's where all values are 0 and 1, else Student's with two pairs added."""
    if is_strict([value for both in values for value in both]):
        return paired_interval(sum(a > b for a, b in values), sum(a < b for a, b in values), len(values))
    return paired_mean_interval([a - b for a, b in values])


def _value(scores: Mapping[CaseKey, Score], key: CaseKey) -> float | None:
    return scores[key].value if key in scores else None


def standing(low: Number | None, high: Number | None, margin: float) -> EquivalenceVerdict:
    """What an interval says about a margin; without an interval nothing is shown.

    >>> standing(-0.004, 0.006, 0.01).value, standing(-0.02, 0.001, 0.01).value, standing(0.02, 0.05, 0.01).value
    ('equivalent', 'not_shown', 'beyond')
    """
    if low is None or high is None:
        return EquivalenceVerdict.NOT_SHOWN
    if -margin < low and high < margin:
        return EquivalenceVerdict.EQUIVALENT
    return EquivalenceVerdict.BEYOND if low > margin or high < -margin else EquivalenceVerdict.NOT_SHOWN


def _statement(parity: Parity, comparison: Comparison) -> str:
    """The finding in one sentence, with the interval and the number of pairs that it rests on."""
    values = {
        "score": parity.score,
        "actual": comparison.actual.arm,
        "mine": _percent(parity.actual.mean),
        "expected": comparison.expected.arm,
        "theirs": _percent(parity.expected.mean),
    }
    notes = _notes(parity, comparison)
    if parity.low is None or parity.high is None:
        return recorded(
            "{score:s} of {actual:s} {mine}, of {expected:s} {theirs}: equivalence not shown ({notes!s})",
            **values,
            notes=joined([recorded("no pair has a value"), *notes]),
        )
    points = 100 * parity.margin
    margin = recorded("1 point") if parity.margin == _POINT else recorded("{points:g} points", points=points)
    interval = recorded(
        "90 % interval {low:+.2f} to {high:+.2f}, {pairs:d} pairs",
        low=100 * parity.low,
        high=100 * parity.high,
        pairs=parity.pairs,
    )
    match standing(parity.low, parity.high, parity.margin):
        case EquivalenceVerdict.EQUIVALENT:
            return recorded(
                "{score:s} of {actual:s} {mine}, of {expected:s} {theirs}: equivalent within {margin} ({notes!s})",
                **values,
                margin=margin,
                notes=joined([interval, *notes]),
            )
        case EquivalenceVerdict.BEYOND:
            return recorded(
                "{score:s} of {actual:s} {mine}, of {expected:s} {theirs}: not equivalent within {margin}, the "
                "difference is larger ({notes!s})",
                **values,
                margin=margin,
                notes=joined([interval, *notes]),
            )
    return recorded(
        "{score:s} of {actual:s} {mine}, of {expected:s} {theirs}: equivalence within {margin} not shown ({notes!s})",
        **values,
        margin=margin,
        notes=joined([interval, _wanted(parity), *notes]),
    )


def _wanted(parity: Parity) -> str:
    """How many pairs would have shown equivalence."""
    square = parity.mean_square
    if square is None:  # a record from before it was kept, of values 0 and 1
        square = (parity.only_actual + parity.only_expected) / parity.pairs
    needed = pairs_needed(square, parity.margin)
    if needed <= parity.pairs:
        return recorded("enough pairs to show it, had the two been alike")
    return recorded("about {count:d} pairs are needed if the two are alike", count=needed)


def _notes(parity: Parity, comparison: Comparison) -> list[str]:
    """What else a reader must know."""
    left_out = len(parity.without_value) + len(parity.one_sided)
    notes = [recorded("{count:d} without a value left out", count=left_out)] if left_out else []
    if NoiseMode.UNVERIFIED in {comparison.actual.noise, comparison.expected.noise}:
        notes.append(recorded("noise unverified"))
    return notes


_POINT = 0.01


def _percent(share: float | None) -> str:
    return recorded("without a value") if share is None else f"{100 * share:.1f} %"
