"""What a report judged, one entry for each test case; formats that count and list take the same ones from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.language import say, translated
from harness.records import EXIT_CODES, Status
from harness.render import _tables as tables
from harness.render import _words as words
from harness.render._phrases import term

if TYPE_CHECKING:
    from harness.records import CaseKey, Comparison, Report

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
    found = [_judged(part, key) for key, part in tables.by_key(comparison).items()]
    found += [
        JudgedCase(name=translated(each.limit.rule), status=each.status, reason=translated(each.message))
        for each in comparison.verdicts
    ]
    found += [
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
    if verdict(comparison.outcome) not in {verdict(each.status) for each in found}:
        reason = translated(comparison.message) or say(words.SENTENCES[comparison.outcome])
        found.append(JudgedCase(name=say("whole comparison"), status=comparison.outcome, reason=reason))
    return found


def _judged(part: Comparison, key: CaseKey) -> JudgedCase:
    tracebacks = [failure.traceback for failure in part.failures]
    messages = [translated(each.message) for pair in part.pairs for each in pair.verdicts]
    return JudgedCase(
        name=words.key(key),
        status=tables.key_status(part, key),
        reason=tables.key_reason(part, key),
        details="\n".join([*dict.fromkeys(messages), *tracebacks]),
        key=key,
        part=part,
    )


def whole_report(report: Report) -> JudgedCase | None:
    """The report as a whole, where its comparisons do not tell how it ended; None where they do."""
    passed = all(EXIT_CODES[comparison.outcome] == 0 for comparison in report.comparisons)
    if report.comparisons and passed == (EXIT_CODES[report.outcome] == 0):
        return None
    return JudgedCase(name=say("whole report"), status=report.outcome, reason=say(words.SENTENCES[report.outcome]))
