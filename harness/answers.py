"""The four questions that a report is opened for: what ran where, is it deterministic, is it accurate, may it ship.

Each answer is yes, no or not shown, with the figures that it rests on. Pages and cards say it; nothing is judged again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.language import recorded, recorded_many
from harness.message import joined
from harness.records import EXIT_CODES, NoiseMode, Role, Scope, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.records import Comparison, Limit, MissingCell, Pair, Report, Run, Verdict

_PASSED = {Status.IDENTICAL, Status.WITHIN_LIMITS, Status.WAIVED}
_FAILED = {Status.DRIFT, Status.UNSTABLE}


class Answered(StrEnum):
    """How a question is answered."""

    YES = "yes"
    NO = "no"
    NOT_SHOWN = "not_shown"


class Question(StrEnum):
    """What is asked."""

    WHAT = "what"
    DETERMINISTIC = "deterministic"
    ACCURATE = "accurate"
    SHIP = "ship"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer."""

    question: Question
    """What is asked."""
    answered: Answered | None
    """The word; None for the question what ran where."""
    reason: str
    """The figures behind it, as records hold messages."""


def answers(reports: Sequence[Report], missing: Sequence[MissingCell] = ()) -> tuple[Answer, Answer, Answer, Answer]:
    """The four answers of one or several reports; ``missing`` is what was asked for and is not there."""
    deterministic, accurate = _deterministic(reports), _accurate(reports)
    return _what(reports), deterministic, accurate, _ship(reports, missing, deterministic, accurate)


# --- what, where -----------------------------------------------------------------------------------------------------


def _what(reports: Sequence[Report]) -> Answer:
    runs = [run for report in reports for run in report.runs]
    models = dict.fromkeys(report.scenario.model.source for report in reports)
    return Answer(
        question=Question.WHAT,
        answered=None,
        reason=recorded(
            "the model {models} on {devices}; {images} of {scenarios}",
            models=list(models) or recorded("(none)"),
            devices=list(dict.fromkeys(map(_device, _candidates(runs)))) or recorded("no device"),
            images=recorded_many("1 image", "{count:d} images", sum(len(run.samples) for run in runs)),
            scenarios=recorded_many(
                "1 scenario", "{count:d} scenarios", len({report.scenario.name for report in reports})
            ),
        ),
    )


def _candidates(runs: Sequence[Run]) -> list[Run]:
    """Runs of arms that are to be validated; all runs where there is none."""
    return [run for run in runs if run.plan.arm.role is Role.CANDIDATE] or list(runs)


def _device(run: Run) -> str:
    name = run.environment.device_name if run.environment else run.plan.arm.device
    place = run.environment.device if run.environment else run.plan.arm.device
    values = {"name": name, "device": place, "dtype": run.plan.model.dtype}
    if run.plan.noise is NoiseMode.UNVERIFIED:
        return recorded("{device:s} (made outside the worker)", device=place)
    if run.environment and run.environment.simulated:
        return recorded("{device:s} ({name}, SIMULATED) in {dtype:s}", **values)
    return recorded("{device:s} ({name}) in {dtype:s}", **values)


# --- deterministic ---------------------------------------------------------------------------------------------------


def _deterministic(reports: Sequence[Report]) -> Answer:
    every = [comparison for report in reports for comparison in _of(report, Scope.REPEAT)]
    unstable = [
        repetition for comparison in every for repetition in comparison.repetitions if len(repetition.outcomes) > 1
    ]
    # A reference need not be repeated; one that was and is unstable makes every comparison with it doubtful.
    comparisons = [comparison for report in reports for comparison in _of_candidates(report)]
    counted = every if unstable else comparisons
    repetitions = [repetition for comparison in counted for repetition in comparison.repetitions]
    total = recorded_many("1 case and seed over all arms", "{count:d} cases and seeds over all arms", len(repetitions))
    if any(repetition.key.image for repetition in repetitions):
        total = recorded("{count:d} images over all arms", count=len(repetitions))
    if any(repetition.key.frame for repetition in repetitions):
        total = recorded("{count:d} videos and stored frames over all arms", count=len(repetitions))
    if unstable:
        worst = max(unstable, key=lambda repetition: len(repetition.outcomes))
        reason = recorded(
            "{bad:d} of {total} have more than one outcome, at worst {key} with {outcomes:d} in {runs:d} runs",
            bad=len(unstable),
            total=total,
            key=worst.key,
            outcomes=len(worst.outcomes),
            runs=worst.runs,
        )
        return Answer(question=Question.DETERMINISTIC, answered=Answered.NO, reason=reason)
    doubtful = [comparison for comparison in comparisons if comparison.outcome not in _PASSED]
    repeated = [repetition.runs for repetition in repetitions if repetition.runs > 1]
    if doubtful or not repeated or len(repeated) < len(repetitions):
        reason = doubtful[0].message if doubtful else recorded("not every case and seed was made more than once")
        if not repetitions and not doubtful:
            reason = recorded("no repeats were compared")
        return Answer(question=Question.DETERMINISTIC, answered=Answered.NOT_SHOWN, reason=reason)
    reason = recorded(
        "{total}, {runs:d} equal runs of each at least; a failure rate of up to {bound:.0f} % is not excluded (95 %)",
        total=total,
        runs=min(repeated),
        bound=100 * max(repetition.bound_95 for repetition in repetitions),
    )
    return Answer(question=Question.DETERMINISTIC, answered=Answered.YES, reason=reason)


def _of_candidates(report: Report) -> list[Comparison]:
    """Repeats of the arms that are to be validated; of all arms where there is none."""
    candidates = {run.plan.arm.name for run in _candidates(report.runs)}
    return [comparison for comparison in _of(report, Scope.REPEAT) if comparison.actual.arm in candidates]


# --- accurate --------------------------------------------------------------------------------------------------------


def _accurate(reports: Sequence[Report]) -> Answer:
    comparisons = [comparison for report in reports for comparison in _of(report, Scope.REFERENCE)]
    if not comparisons:
        return _not_accurate(recorded("no arm was compared with a reference"))
    doubtful = [comparison for comparison in comparisons if comparison.outcome not in _PASSED]
    drifted = [comparison for comparison in doubtful if comparison.outcome in _FAILED]
    if drifted:
        reason = recorded(
            "of {actual:s} against {expected:s}: {message!s}",
            actual=drifted[0].actual.arm,
            expected=drifted[0].expected.arm,
            message=_nearest_words(drifted, _FAILED) or drifted[0].message,
        )
        return Answer(question=Question.ACCURATE, answered=Answered.NO, reason=reason)
    if doubtful:
        return _not_accurate(doubtful[0].message or recorded("nothing was judged"))
    pairs = sum(len(comparison.pairs) for comparison in comparisons)
    arms = list(dict.fromkeys(comparison.expected.arm for comparison in comparisons))
    total = recorded_many("1 pair", "{count:d} pairs", pairs)
    nearest = _nearest_words(comparisons, {Status.WITHIN_LIMITS}) or _nearest_words(comparisons, {Status.IDENTICAL})
    waived = sum(comparison.outcome is Status.WAIVED for comparison in comparisons)
    if not nearest:
        return _not_accurate(recorded("{total} with {arms:s}, and no limit judges them", total=total, arms=arms))
    kept = recorded("all limits kept") if not waived else recorded("all limits kept but those that are waived")
    reason = recorded(
        "{total} with {arms:s}, {kept}; nearest to its limit: {nearest!s}",
        total=total,
        arms=arms,
        kept=kept,
        nearest=nearest,
    )
    return Answer(question=Question.ACCURATE, answered=Answered.YES, reason=reason)


def _not_accurate(reason: str) -> Answer:
    return Answer(question=Question.ACCURATE, answered=Answered.NOT_SHOWN, reason=reason)


def _nearest_words(comparisons: Sequence[Comparison], statuses: Collection[Status]) -> str:
    """Of the verdicts of pairs with such a status, the one nearest to its limit or farthest beyond it, with its place.

    Empty where there is none: a ratio or a score is judged over all pairs together.
    """
    judged = [
        (room(verdict), pair, verdict)
        for comparison in comparisons
        for pair in comparison.pairs
        for verdict in pair.verdicts
        if verdict.measured is not None and verdict.status in statuses
    ]
    if not judged:
        return ""
    _, pair, verdict = min(judged, key=lambda row: row[0])
    return recorded(
        "{metric:s} {value}, allowed: {rule} ({key})",
        metric=verdict.limit.metric,
        value=_value(pair, verdict),
        rule=_rule(verdict.limit),
        key=pair.key,
    )


def _value(pair: Pair, verdict: Verdict) -> str:
    measurement = pair.measurement(verdict.limit.metric, verdict.limit.subject)
    unit = measurement.unit if measurement else ""
    value = f"{math.nan if verdict.measured is None else verdict.measured:.4g}"
    return recorded("{amount} {unit}", amount=value, unit=unit) if unit else value


def _rule(limit: Limit) -> str:
    if limit.at_least is not None:
        return recorded("at least {bound:g}", bound=limit.at_least)
    if limit.at_most is not None:
        return recorded("at most {bound:g}", bound=limit.at_most)
    return recorded("exactly {bound:g}", bound=limit.equals)


def room(verdict: Verdict) -> float:
    """How far the measured value is inside its limit, in parts of the limit; negative where the limit is broken."""
    limit, value = verdict.limit, verdict.measured
    if value is None or math.isnan(value):
        return -math.inf
    if limit.at_least is not None:
        return (value - limit.at_least) / (abs(limit.at_least) or 1.0)
    if limit.at_most is not None:
        return (limit.at_most - value) / (abs(limit.at_most) or 1.0)
    return math.inf if value == limit.equals else -math.inf


# --- may it ship -----------------------------------------------------------------------------------------------------


def _ship(reports: Sequence[Report], missing: Sequence[MissingCell], *known: Answer) -> Answer:
    failed = [answer for answer in known if answer.answered is Answered.NO]
    broken = [report.scenario.name for report in reports if EXIT_CODES[report.outcome]]
    unjudged = [report.scenario.name for report in reports if report.outcome is Status.SKIPPED]
    against = [
        *([recorded_many("1 thing is missing", "{count:d} things are missing", len(missing))] if missing else []),
        *(_FAILURES[answer.question] for answer in failed),
    ]
    if not against and (errors := [name for name in broken if name not in unjudged]):
        against = [recorded("{scenarios} did not pass", scenarios=errors)]
    if against:
        return Answer(question=Question.SHIP, answered=Answered.NO, reason=joined(against))
    lacking = [
        *(_GAPS[answer.question] for answer in known if answer.answered is Answered.NOT_SHOWN),
        *_no_evidence(reports),
    ]
    if lacking or not reports:
        reason = joined(lacking) if lacking else recorded("there is no report")
        return Answer(question=Question.SHIP, answered=Answered.NOT_SHOWN, reason=reason)
    reason = recorded("everything that was asked for was made, judged and passed; read what is not shown")
    return Answer(question=Question.SHIP, answered=Answered.YES, reason=reason)


_FAILURES = {
    Question.DETERMINISTIC: recorded("it is not deterministic"),
    Question.ACCURATE: recorded("it is not accurate"),
}
_GAPS = {
    Question.DETERMINISTIC: recorded("whether it is deterministic is not shown"),
    Question.ACCURATE: recorded("whether it is accurate is not shown"),
}


def _no_evidence(reports: Sequence[Report]) -> Iterator[str]:
    """Why what passed says nothing about a device."""
    runs = _candidates([run for report in reports for run in report.runs])
    if any(run.environment and run.environment.simulated for run in runs):
        yield recorded("a device is simulated, which is no evidence about real hardware")
    if any(run.backend == "cpu" and run.plan.noise is not NoiseMode.UNVERIFIED for run in runs):
        yield recorded("a CPU stood in for an accelerator")
    if any(report.scenario.model.source.startswith("builtin:") for report in reports):
        yield recorded("the model is one that was made for testing")
    if any(run.plan.noise is NoiseMode.UNVERIFIED for run in runs):
        yield recorded("the noise of some images is unverified")


def _of(report: Report, scope: Scope) -> list[Comparison]:
    return [comparison for comparison in report.comparisons if comparison.scope is scope]
