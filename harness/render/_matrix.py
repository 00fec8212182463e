"""The matrix of a release: scenarios and jobs down, arms across, in each cell how it ended and by which numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import marked, say, translated
from harness.records import EXIT_CODES, Scope, worst
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render._cases import key_status
from harness.render._caveats import cpu_candidates
from harness.render._document import Cell, Table, clean, code, plain, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records import Arm, CaseKey, Comparison, MissingCell, Release, ReleasedJob, Report, Scenario, Status

    Places = Mapping[tuple[str, CaseKey], str]
    """Where the page shows a case, by job, case and seed."""

MISSING = marked("MISSING")
"""Stands where something was asked for and is not there."""


def matrix(release: Release, places: Places) -> Table:
    """One row for each job, and for each scenario that has none; one column for each arm that was asked for."""
    arms = list(dict.fromkeys(arm.name for scenario in release.scenarios for arm in scenario.arms))
    rows = [row for scenario in release.scenarios for row in _rows(release, scenario, arms, places)]
    rows += [_unusable(gap, arms) for gap in release.missing if gap.arm is None]
    note = say(
        "{none} stands for: the scenario has no such arm. A cell has the worst word of all that the arm was "
        "compared with in the job, its own repeats included.",
        none=labels.NONE,
    )
    return table((say("Scenario"), *arms, say("Job")), rows, note=note)


def missing(release: Release) -> Table:
    """Everything that was asked for and is not there, with the reason."""
    rows = [
        [
            Cell(say(MISSING), kind="status", status=gap.status),
            code(gap.scenario),
            code(gap.arm) if gap.arm else plain(say("all")),
            code(gap.job) if gap.job else plain(say("none")),
            plain(translated(gap.reason)),
        ]
        for gap in release.missing
    ]
    return table((say("State"), say("Scenario"), say("Arm"), say("Job"), say("Reason")), rows)


def _rows(release: Release, scenario: Scenario, arms: Sequence[str], places: Places) -> list[list[Cell]]:
    jobs = [job for job in release.jobs if job.report.scenario.name == scenario.name]
    own = {arm.name: arm for arm in scenario.arms}
    if not jobs:
        cells = [_cell(release, scenario, None, own.get(name), places) for name in arms]
        return [[code(scenario.name), *cells, Cell(say(MISSING), kind="status", status=_none(release, scenario))]]
    return [
        [code(scenario.name), *(_cell(release, scenario, job, own.get(name), places) for name in arms), code(job.job)]
        for job in jobs
    ]


def _unusable(gap: MissingCell, arms: Sequence[str]) -> list[Cell]:
    state = Cell(say(MISSING), kind="status", status=gap.status, lines=(clean(translated(gap.reason)),))
    return [code(gap.scenario), *(plain(labels.NONE) for _ in arms), state]


def _none(release: Release, scenario: Scenario) -> Status:
    return worst([gap.status for gap in release.missing if gap.scenario == scenario.name])


def _cell(
    release: Release,
    scenario: Scenario,
    job: ReleasedJob | None,
    arm: Arm | None,
    places: Places,
) -> Cell:
    if arm is None:
        return plain(labels.NONE)
    lacking = [gap for gap in release.missing if (gap.scenario, gap.arm) == (scenario.name, arm.name)]
    here = [gap for gap in lacking if not gap.job or job is None or gap.job == job.job]
    mine = [comparison for comparison in job.report.comparisons if comparison.actual.arm == arm.name] if job else []
    if here:
        lines = tuple(clean(translated(gap.reason)) for gap in here)
        return Cell(say(MISSING), kind="status", status=worst([gap.status for gap in here]), lines=lines)
    if job is None or not mine:
        return _elsewhere(release, scenario, job, arm)
    return Cell(
        labels.status_word(status := worst([comparison.outcome for comparison in mine])),
        kind="status",
        status=status,
        lines=tuple(map(clean, _lines(job.report, mine, arm))),
        link=_place(job, mine, places),
    )


def _elsewhere(release: Release, scenario: Scenario, job: ReleasedJob | None, arm: Arm) -> Cell:
    """A cell of an arm that this job did not run as a side of its own: a baseline, or an arm of another job."""
    if job and any(
        comparison.expected.arm == arm.name and comparison.expected.baseline for comparison in job.report.comparisons
    ):
        return plain(say("an accepted baseline"))
    others = [
        other.job
        for other in release.jobs
        if other is not job
        and other.report.scenario.name == scenario.name
        and any(run.plan.arm.name == arm.name for run in other.report.runs)
    ]
    return plain(say("see {jobs}", jobs=formats.names(others)) if others else say("compared with nothing itself"))


def _lines(report: Report, mine: Sequence[Comparison], arm: Arm) -> list[str]:
    """What kind of device it was, the worst numbers, and how much of that is noise."""
    lines = [say("SIMULATED")] if any(comparison.actual.simulated for comparison in mine) else []
    lines += [say("CPU stand-in")] if arm.name in cpu_candidates(report) else []
    references = [comparison for comparison in mine if comparison.scope is Scope.REFERENCE]
    for reference in references:
        lines.append(
            formats.clauses(filter(None, [*(_broken(reference) or _psnr(reference)), _floor(report, reference)]))
        )
    if not references:
        counts = [len(repetition.outcomes) for comparison in mine for repetition in comparison.repetitions]
        lines.append(say("distinct outcomes: {count}", count=formats.span(counts)) if counts else labels.NOT_MEASURED)
        return lines
    return lines


def _floor(report: Report, comparison: Comparison) -> str:
    """The noise floor of the reference, the worst PSNR of its calibration; empty where it was not measured."""
    values = [
        floor.worst
        for calibration in report.calibrations
        if calibration.arm == comparison.expected.arm
        for floor in calibration.floors
        if (floor.metric, floor.subject) == ("psnr_db", "image")
    ]
    if not values:
        return ""
    return say("noise floor of {arm}: {value} dB", arm=comparison.expected.arm, value=formats.number(min(values)))


def _broken(comparison: Comparison) -> list[str]:
    """The worst value by the first limit that is broken; none where all are kept."""
    verdicts = [
        verdict
        for pair in comparison.pairs
        for verdict in pair.verdicts
        if EXIT_CODES[verdict.status] != 0 and verdict.measured is not None
    ]
    if not verdicts:
        return []
    verdict = verdicts[0]
    bad = lookup.worst_pair(comparison.pairs, verdict.limit.metric, verdict.limit.subject)
    shown = formats.measured(bad[1], unit=True) if bad else formats.number(verdict.measured or 0.0)
    name = labels.metric_name(verdict.limit.metric, verdict.limit.subject)
    return [
        say("{metric} against {arm}, worst: {value}", metric=name, arm=lookup.arm_of(comparison.expected), value=shown)
    ]


def _psnr(comparison: Comparison) -> list[str]:
    bad = lookup.worst_pair(comparison.pairs, "psnr_db", "image")
    if bad is None:
        return [say("against {arm}: no pair was measured", arm=lookup.arm_of(comparison.expected))]
    value = formats.measured(bad[1], unit=True)
    arm = lookup.arm_of(comparison.expected)
    return [say("{metric} against {arm}, worst: {value}", metric=labels.metric_name("psnr_db"), arm=arm, value=value)]


def _place(job: ReleasedJob, mine: Sequence[Comparison], places: Places) -> str:
    """Where the arm's worst case is shown: the one with the worst word, then that with the lowest PSNR."""
    ranks: dict[CaseKey, int] = {}
    for comparison in mine:
        for key, part in lookup.by_key(comparison).items():
            ranks[key] = min(labels.RANKS[key_status(part, key)], ranks.get(key, len(labels.RANKS)))
    shown = [key for key in ranks if (job.job, key) in places]
    if not shown:
        return ""
    return "#" + places[job.job, min(shown, key=lambda key: (ranks[key], key.order))]
