"""Rows of the table about failures, and those after which a new process took over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say, translated
from harness.render import _labels as labels
from harness.render._document import Table, code, figure, plain, table
from harness.render._labels import term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Failure, Report


def failures_of(report: Report) -> list[tuple[str, Failure]]:
    """Every failure with its arm, each once; those of a comparison whose run is not in the report come last."""
    arm_failures = [(run.plan.arm.name, failure) for run in report.runs for failure in run.failures]
    known = [failure for _, failure in arm_failures]
    for comparison in report.comparisons:
        for failure in comparison.failures:
            if failure not in known:
                known.append(failure)
                arm_failures.append((comparison.actual.arm, failure))
    return arm_failures


def retried(report: Report) -> list[tuple[str, Failure]]:
    """Failures of the machine, each with its arm, after which a new process took over."""
    return [(run.plan.arm.name, failure) for run in report.runs for failure in run.retried]


def failures(arm_failures: Sequence[tuple[str, Failure]]) -> Table:
    """One row for each failure."""
    rows = [
        [
            code(arm),
            plain(term(failure.stage)),
            plain(failure.key or say("not in a picture")),
            figure(failure.process),
            figure(labels.NONE if failure.repeat is None else failure.repeat),
            code(failure.error),
            plain(translated(failure.message)),
        ]
        for arm, failure in arm_failures
    ]
    columns = (
        say("Arm"),
        say("Stage"),
        say("Case and seed"),
        say("Process"),
        say("Repeat"),
        say("Error"),
        say("Message"),
    )
    return table(columns, rows)
