"""The end of a check in one sentence: the verdict, by how much, what it does not show, and what to open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records import NoiseMode, Role, Scope, Status, worst
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.records import Comparison, Limit, Measurement, Pair, Report

_WORDS = {
    Status.IDENTICAL: "PASS",
    Status.WITHIN_LIMITS: "PASS",
    Status.WAIVED: "PASS, with waivers",
    Status.DRIFT: "FAIL",
    Status.UNSTABLE: "FAIL",
    Status.ERROR: "ERROR",
    Status.NOT_COMPARABLE: "NOT COMPARABLE",
    Status.MISSING_BASELINE: "BASELINE MISSING",
    Status.SKIPPED: "NOTHING JUDGED",
}
_LONGEST = 400
"""Characters of the verdict; messages of errors may be pages long."""
_PASSED = {Status.IDENTICAL, Status.WITHIN_LIMITS, Status.WAIVED}


def conclusion(reports: Sequence[Report], pages: Sequence[Path]) -> str:
    """How a check of one or several scenarios ended, and the pages to open."""
    comparisons = [comparison for report in reports for comparison in report.comparisons]
    outcome = worst([comparison.outcome for comparison in comparisons])
    if outcome in _PASSED:
        clauses = [*_repeated(comparisons), *_accurate(comparisons)]
    else:
        deciding = [comparison for comparison in comparisons if comparison.outcome is outcome]
        clauses = [_why(deciding, outcome)]
    unshown = list(_not_shown(reports, comparisons, outcome))
    sentence = one_line(f"{_WORDS[outcome]}: {'; '.join(clauses)}.", _LONGEST)
    if unshown:
        sentence += f" Not shown: {'; '.join(unshown)}."
    return f"{sentence} Open {' and '.join(map(str, pages))}" if pages else sentence


def _repeated(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """What repeats showed; a case and seed that was made once repeats nothing."""
    repeated = [
        (comparison.actual.arm, repetition)
        for comparison in comparisons
        for repetition in comparison.repetitions
        if repetition.runs > 1
    ]
    if repeated:
        arms = dict.fromkeys(arm for arm, _ in repeated)
        repetitions = [repetition for _, repetition in repeated]
        fewest = min(repetition.runs for repetition in repetitions)
        yield f"{len(repetitions)} of {_count(repetitions, 'image')} of {_listed(arms)} identical in {fewest} runs each"


def _accurate(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """What references showed."""
    pairs: dict[str, list[Pair]] = {}
    unlike = {comparison.expected.arm for comparison in comparisons if comparison.model}
    for comparison in comparisons:
        if comparison.scope is Scope.REFERENCE:
            pairs.setdefault(comparison.expected.arm, []).extend(comparison.pairs)
    for reference, compared in pairs.items():
        another = ", another model on purpose" if reference in unlike else ""
        yield f"{len(compared)} of {_count(compared, 'pair')} within limits against {reference}{another}"


def _why(comparisons: Sequence[Comparison], outcome: Status) -> str:
    """What decided, with the worst example."""
    first = comparisons[0] if comparisons else None
    if first is None:
        return "no comparison was made"
    if outcome is Status.UNSTABLE:
        repetitions = [repetition for comparison in comparisons for repetition in comparison.repetitions]
        unstable = [repetition for repetition in repetitions if len(repetition.outcomes) > 1]
        if unstable:
            example = f"{unstable[0].key}: {len(unstable[0].outcomes)} outcomes in {unstable[0].runs} runs"
            return (
                f"{len(unstable)} of {_count(repetitions, 'image')} of {_arms(comparisons)} not repeatable ({example})"
            )
    if outcome is Status.DRIFT:
        pairs = [pair for comparison in comparisons for pair in comparison.pairs]
        broken = [pair for pair in pairs if any(verdict.status is Status.DRIFT for verdict in pair.verdicts)]
        decisive = worst_pair(first, Status.DRIFT)
        if decisive:
            limit, pair, measured = decisive
            example = f"{pair.key}: {_value(measured)}, {_bound(limit)}"
            verb = "breaks" if len(broken) == 1 else "break"
            return f"{len(broken)} of {_count(pairs, 'pair')} of {_arms(comparisons)} {verb} a limit ({example})"
    if outcome is Status.ERROR and first.failures:
        failures = [failure for comparison in comparisons for failure in comparison.failures]
        where = f"{failures[0].key}: " if failures[0].key else ""
        message = failures[0].message.rstrip(".")
        return f"{_count(dict.fromkeys(map(str, failures)), 'failure')}, the first: {where}{message}"
    return first.message.rstrip(".")


def worst_pair(comparison: Comparison, outcome: Status) -> tuple[Limit, Pair, Measurement] | None:
    """Of the pairs with a verdict of that outcome, the worst by the limit of the first of them; None without one."""
    judged = [(verdict, pair) for pair in comparison.pairs for verdict in pair.verdicts if verdict.status is outcome]
    if not judged:
        return None
    limit = judged[0][0].limit
    of_limit = [
        (pair, measured)
        for verdict, pair in judged
        if verdict.limit == limit and (measured := pair.measurement(limit.metric, limit.subject))
    ]
    return limit, *max(of_limit, key=lambda measured: measured[1].badness)


def _value(measured: Measurement) -> str:
    number = "no value" if measured.value is None else f"{measured.value:.4g}"
    return f"{measured.metric} {number}"


def _bound(limit: Limit) -> str:
    for side, bound in (("at least", limit.at_least), ("at most", limit.at_most), ("exactly", limit.equals)):
        if bound is not None:
            return f"{side} {bound:g}"
    raise AssertionError("a limit has a bound")


def _not_shown(reports: Sequence[Report], comparisons: Sequence[Comparison], outcome: Status) -> Iterator[str]:
    """What a reader of one line must not conclude."""
    if outcome not in _PASSED:
        return
    bounds = [repetition.bound_95 for comparison in comparisons for repetition in comparison.repetitions]
    if bounds:
        yield f"that repeats never differ (a rate up to {max(bounds):.0%} is not excluded)"
    if not any(comparison.scope is Scope.REFERENCE for comparison in comparisons):
        yield "accuracy (nothing was compared with a reference)"
    runs = [run for report in reports for run in report.runs]
    tested = [run for run in runs if run.plan.arm.role is Role.CANDIDATE and run.plan.noise is not NoiseMode.UNVERIFIED]
    if any(run.environment and run.environment.simulated for run in tested):
        yield "anything about real hardware (the device is simulated)"
    elif tested and all(run.backend == "cpu" for run in tested):
        yield "anything about an accelerator (a CPU did the work)"


def _arms(comparisons: Sequence[Comparison]) -> str:
    return _listed(dict.fromkeys(comparison.actual.arm for comparison in comparisons))


def _listed(names: dict[str, None]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _count(things: Sequence[object] | dict[str, None], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"
