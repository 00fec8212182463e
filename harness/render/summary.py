"""The report as a short Markdown page for the summary of a CI step: totals, then failures, then what passed.

CI systems refuse a summary of more than 1 MiB, so it is cut, by section and at the end of a row, and says in words how
much was left out and where it is.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.records import EXIT_CODES, Status
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render._cases import judged_cases, whole_report
from harness.render._document import clean
from harness.render._failures import retried
from harness.render._report import document
from harness.render._templates import fill
from harness.scenario import own_words
from harness.text import markdown_cell, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from harness.records import Failure, Report
    from harness.render._cases import JudgedCase

FILE_NAME = "summary.md"

MOST_BYTES = 1_000_000
"""Size in UTF-8 that a summary never exceeds: below 1 MiB, with room for what else a step says."""

_LONGEST_REASON = 300
_MOST_REASONS = 10
_RESERVE_BYTES = 1_000
"""Kept free in each section for its heading and for saying what was left out."""


def render(report: Report, *, folder: Path) -> str:
    """Text of the summary; ``folder`` is the job folder, and only its name is used."""
    rows = sorted(_rows(report), key=lambda row: labels.RANKS[row[1].status])
    failed, unjudged, passed = (
        [_line(report, *row) for row in rows if group(row[1].status) == wanted] for wanted in _GROUPS
    )
    whole = document(report)
    text = fill(
        "summary.md.j2",
        document=whole,
        title=one_line(whole.title),
        totals=_totals(case.status for _, case in rows),
        reasons=[one_line(reason, _LONGEST_REASON) for reason in whole.reasons[:_MOST_REASONS]],
        retried=[_retried(arm, failure) for arm, failure in retried(report)[:_MOST_REASONS]],
        job=folder.name,
    )
    for title, lines in ((say("Failures"), failed), (say("Not judged"), unjudged), (say("Passed"), passed)):
        text += _section(title, lines, MOST_BYTES - len(text.encode()))
    return text


_GROUPS = ("failed", "not judged", "passed")


def group(status: Status) -> str:
    """Under which heading a row stands; what was not judged is neither a failure nor a pass.

    >>> group(Status.DRIFT), group(Status.SKIPPED), group(Status.WAIVED)
    ('failed', 'not judged', 'passed')
    """
    if status is Status.SKIPPED:
        return "not judged"
    return "failed" if EXIT_CODES[status] else "passed"


def _retried(arm: str, failure: Failure) -> str:
    return say("{arm} was retried after: {message}", arm=arm, message=one_line(translated(failure.message)))


def _rows(report: Report) -> Iterator[tuple[str, JudgedCase]]:
    """Each test case with the name of its comparison."""
    for comparison in report.comparisons:
        name = lookup.name_of(comparison)
        scope = labels.scope(comparison.scope)
        yield from (
            (say("{comparison}, {scope}", comparison=name, scope=scope), case) for case in judged_cases(comparison)
        )
    if (whole := whole_report(report)) is not None:
        yield report.scenario.name, whole


def _totals(statuses: Iterable[Status]) -> str:
    """How many test cases had which outcome, the worst first."""
    counts = Counter(statuses)
    passed = sum(count for status, count in counts.items() if EXIT_CODES[status] == 0)
    parts = [
        say("{count} {status}", count=counts[status], status=labels.status_word(status))
        for status in labels.RANKS
        if counts[status]
    ]
    return many(
        "{passed} of {count} check passed: {statuses}.",
        "{passed} of {count} checks passed: {statuses}.",
        counts.total(),
        passed=passed,
        statuses=formats.names(parts) or say("nothing was compared"),
    )


def _line(report: Report, name: str, case: JudgedCase) -> str:
    word = labels.status_word(case.status)
    word = f"**{word.upper()}**" if EXIT_CODES[case.status] != 0 else word
    cells = [name, case.name, one_line(clean(own_words(report.scenario, case.reason)), _LONGEST_REASON)]
    return f"| {word} | {' | '.join(markdown_cell(cell) for cell in cells)} |\n"


def _section(title: str, lines: list[str], room_bytes: int) -> str:
    """A table of as many rows as there is room for, and how many were left out."""
    if not lines:
        return ""
    ends = accumulate(len(line.encode()) for line in lines)
    kept = lines[: sum(end <= room_bytes - _RESERVE_BYTES for end in ends)]
    text = f"\n## {title}\n\n"
    if kept:
        headings = say("Outcome"), say("Arm and scope"), say("Case and seed"), say("Reason")
        text += f"| {' | '.join(headings)} |\n| :--- | :--- | :--- | :--- |\n" + "".join(kept)
    if left_out := len(lines) - len(kept):
        sentence = many(
            "{count} row of {total} left out for want of room; junit.xml and index.html of this job have all.",
            "{count} rows of {total} left out for want of room; junit.xml and index.html of this job have all.",
            left_out,
            total=len(lines),
        )
        text += f"\n{sentence}\n"
    return text
