"""What a report judged, one entry for each test case; formats that count and list take the same ones from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.answers import room
from harness.language import many, say, translated
from harness.records import EXIT_CODES, Status, worst
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render._document import clean
from harness.render._labels import term

if TYPE_CHECKING:
    from harness.records import CaseKey, Comparison, Failure, Repetition, Report

Verdict = Literal["passed", "failure", "error", "skipped"]
"""How CI systems sort outcomes."""


@dataclass(frozen=True, kw_only=True)
class JudgedCase:
    """One case and seed of a comparison, or a failure that belongs to none."""

    name: str
    """Unique in its comparison."""
    status: Status
    """Its outcome."""
    reason: str
    """Why, on one line."""
    details: str = ""
    """Messages of all limits, and tracebacks."""
    key: CaseKey | None = None
    """Case and seed, where it is about one."""
    part: Comparison | None = None
    """The part of the comparison that is about the case and seed."""


def verdict(status: Status) -> Verdict:
    """How CI systems sort an outcome: what is no pass, is skipped or cannot be judged is never ``passed``.

    >>> verdict(Status.WITHIN_LIMITS), verdict(Status.DRIFT), verdict(Status.ERROR), verdict(Status.SKIPPED)
    ('passed', 'failure', 'error', 'skipped')
    """
    if EXIT_CODES[status] == 0:
        return "passed"
    if status is Status.ERROR:
        return "error"
    return "skipped" if status is Status.SKIPPED else "failure"


def judged_cases(comparison: Comparison) -> list[JudgedCase]:
    """Every case and seed of a comparison, then ratios over all of them, then what failed outside any of them.

    Where these do not tell the outcome of the comparison, the comparison as a whole stands at the end and does.
    """
    judged = [_judged(part, key) for key, part in lookup.by_key(comparison).items()]
    judged += [
        JudgedCase(name=translated(judgement.limit.rule), status=judgement.status, reason=translated(judgement.message))
        for judgement in comparison.verdicts
    ]
    judged += [
        JudgedCase(
            name=say(
                "{stage}, process {process}, failure {index}",
                stage=term(failure.stage),
                process=failure.process,
                index=index,
            ),
            status=Status.ERROR,
            reason=say("{name}: {text}", name=failure.error, text=translated(failure.message)),
            details=failure.traceback,
        )
        for index, failure in enumerate(comparison.failures, 1)
        if failure.key is None
    ]
    if verdict(comparison.outcome) not in {verdict(case.status) for case in judged}:
        reason = translated(comparison.message) or say(labels.SENTENCES[comparison.outcome])
        judged.append(JudgedCase(name=say("whole comparison"), status=comparison.outcome, reason=reason))
    return judged


def _judged(part: Comparison, key: CaseKey) -> JudgedCase:
    tracebacks = [failure.traceback for failure in part.failures]
    messages = [translated(judgement.message) for pair in part.pairs for judgement in pair.verdicts]
    return JudgedCase(
        name=labels.key(key),
        status=key_status(part, key),
        reason=key_reason(part, key),
        details="\n".join([*dict.fromkeys(messages), *tracebacks]),
        key=key,
        part=part,
    )


def whole_report(report: Report) -> JudgedCase | None:
    """The report as a whole, where its comparisons do not tell how it ended; None where they do."""
    passed = all(EXIT_CODES[comparison.outcome] == 0 for comparison in report.comparisons)
    if report.comparisons and passed == (EXIT_CODES[report.outcome] == 0):
        return None
    return JudgedCase(name=say("whole report"), status=report.outcome, reason=say(labels.SENTENCES[report.outcome]))


# --- one word for each case and seed ----------------------------------------------------------------------------------


def key_status(part: Comparison, key: CaseKey) -> Status:
    """The word for one case and seed, from the part of a comparison that is about it."""
    if part.failures or part.unfit:
        return Status.ERROR
    if part.differences:
        return Status.NOT_COMPARABLE
    if key in part.missing:
        return Status.MISSING_BASELINE if part.outcome is Status.MISSING_BASELINE else Status.ERROR
    # Repeats that differ where limits allow it, or a waiver, are no complaint when the whole is none.
    excused = part.outcome if EXIT_CODES[part.outcome] == 0 else Status.UNSTABLE
    statuses = [
        excused if repetition.status is Status.UNSTABLE else repetition.status for repetition in part.repetitions
    ]
    for pair in part.pairs:
        statuses += [verdict.status for verdict in pair.verdicts]
        statuses += [] if pair.verdicts else [Status.IDENTICAL if pair.identical else Status.SKIPPED]
    return worst(statuses) if statuses else Status.SKIPPED


def key_reason(part: Comparison, key: CaseKey) -> str:
    """Why one case and seed has its word, on one line, from the part of a comparison that is about it."""
    failures = [_failure(failure) for failure in part.failures]
    verdicts = [verdict for pair in part.pairs for verdict in pair.verdicts]
    broken = [translated(verdict.message) for verdict in verdicts if EXIT_CODES[verdict.status] != 0]
    missing = [say("the picture was expected and was not made")] if key in part.missing else []
    unstable = [_unlike(repetition) for repetition in part.repetitions if repetition.status is Status.UNSTABLE]
    unfit = [translated(image.message) for image in part.unfit]
    reasons = [*failures, *unfit, *map(translated, part.differences), *missing, *unstable, *broken]
    return clean(formats.clauses(reasons) or _nothing_against(part, key_status(part, key)))


def _nothing_against(part: Comparison, status: Status) -> str:
    """What was seen where nothing is broken: of this case and seed, never of the whole comparison."""
    repeated = [repetition for repetition in part.repetitions if len(repetition.outcomes) == 1]
    if repeated and repeated[0].runs > 1:
        return many("{count} run gave the same bytes", "{count} runs gave the same bytes", repeated[0].runs)
    verdicts = [verdict for pair in part.pairs for verdict in pair.verdicts]
    waived = [translated(verdict.message) for verdict in verdicts if verdict.waiver]
    if waived:
        return formats.clauses(waived)
    if verdicts:
        return translated(min(verdicts, key=room).message)
    if repeated:
        return say("one run only: nothing was repeated")
    if part.pairs and not all(pair.identical for pair in part.pairs):
        return say("measured, but no limit judges it")
    return say(labels.SENTENCES[status])


def _failure(failure: Failure) -> str:
    return say(
        "{stage}: {error}: {message}",
        stage=term(failure.stage),
        error=failure.error,
        message=translated(failure.message),
    )


def _unlike(repetition: Repetition) -> str:
    return many(
        "{outcomes} distinct outcomes in {count} run: {pattern}",
        "{outcomes} distinct outcomes in {count} runs: {pattern}",
        repetition.runs,
        outcomes=formats.outcome_counts(repetition),
        pattern=translated(repetition.pattern),
    )
