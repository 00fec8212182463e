"""The first screens of a page: four answers, what is not shown in five lines, one line per arm, the judged metrics."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from harness.answers import Answered, Question, answers, room
from harness.language import many, marked, say, translated
from harness.records import NoiseMode, OnPurpose, Scope, Status, worst
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _limits_table as limits_table
from harness.render import _lookup as lookup
from harness.render import _readings as readings
from harness.render._caveats import not_shown
from harness.render._document import (
    AnswerLine,
    Bullets,
    Cell,
    Listing,
    Paragraph,
    clean,
    code,
    figure,
    plain,
    table,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.answers import Answer
    from harness.records import Comparison, MissingCell, Pair, Report, Verdict
    from harness.render._document import Block

_QUESTIONS = {
    Question.WHAT: marked("What ran, and where"),
    Question.DETERMINISTIC: marked("Is it deterministic?"),
    Question.ACCURATE: marked("Is it accurate?"),
    Question.SHIP: marked("May it ship?"),
}
_WORDS = {
    Answered.YES: marked("yes"),
    Answered.NO: marked("no"),
    Answered.NOT_SHOWN: marked("not shown"),
}
_FEW = 5
"""Lines about what is not shown that stand on the first screens; all of them stand in a section of their own."""


def answer_lines(reports: Sequence[Report], missing: Sequence[MissingCell] = ()) -> tuple[AnswerLine, ...]:
    """The four answers in the spoken language."""
    return tuple(map(_line, answers(reports, missing)))


def _line(answer: Answer) -> AnswerLine:
    return AnswerLine(
        question=say(_QUESTIONS[answer.question]),
        answered=answer.answered,
        word=say(_WORDS[answer.answered]) if answer.answered else "",
        text=clean(formats.sentence(translated(answer.reason))),
    )


def gaps(reports: Sequence[Report]) -> tuple[Block, ...]:
    """What is not shown, in five lines, and how many more there are."""
    ordered = _gaps(reports)
    lines = Bullets(tuple(ordered[:_FEW]))
    more = len(ordered) - _FEW
    if more <= 0:
        return (lines,)
    return (lines, Paragraph(many("{count} more is listed below.", "{count} more are listed below.", more)))


def few_gaps(reports: Sequence[Report]) -> list[str]:
    """What is not shown, in five sentences."""
    return _gaps(reports)[:_FEW]


def _gaps(reports: Sequence[Report]) -> list[str]:
    """What is not shown, first what holds for most reports."""
    counts: dict[str, int] = {}
    for report in reports:
        for sentence in map(clean, not_shown(report)):
            counts[sentence] = counts.get(sentence, 0) + 1
    return sorted(counts, key=lambda sentence: -counts[sentence])


# --- determinism -----------------------------------------------------------------------------------------------------


def determinism(reports: Sequence[Report]) -> tuple[Block, ...]:
    """One line for each arm and device, over all reports."""
    by_arm: dict[tuple[str, str, str], list[Comparison]] = {}
    for report in reports:
        for comparison in lookup.of_scope(report, Scope.REPEAT):
            side = comparison.actual
            device = lookup.device_of(report, side)
            by_arm.setdefault((lookup.arm_of(side), device, side.dtype), []).append(comparison)
    if not by_arm:
        return (Paragraph(say("No repeats were compared.")),)
    keys = [one.key for group in by_arm.values() for part in group for one in part.repetitions]
    columns = (
        say("Arm"),
        say("Outcome"),
        say("Device"),
        say("Type"),
        labels.counted_things(keys),
        say("Runs"),
        say("Processes"),
        say("Distinct outcomes"),
        say("Failure rate, 95 % upper bound"),
    )
    return (table(columns, [_arm(*arm, comparisons) for arm, comparisons in by_arm.items()]),)


def _arm(name: str, device: str, dtype: str, comparisons: Sequence[Comparison]) -> list[Cell]:
    repetitions = [repetition for comparison in comparisons for repetition in comparison.repetitions]
    return [
        code(name),
        word(worst([comparison.outcome for comparison in comparisons])),
        plain(device),
        plain(dtype),
        figure(len(repetitions)),
        figure(formats.span(repetition.runs for repetition in repetitions)),
        figure(formats.span(repetition.processes for repetition in repetitions)),
        figure(formats.span(len(repetition.outcomes) for repetition in repetitions)),
        figure(formats.percent(max((repetition.bound_95 for repetition in repetitions), default=1.0))),
    ]


# --- accuracy --------------------------------------------------------------------------------------------------------


def accuracy(reports: Sequence[Report]) -> tuple[Block, ...]:
    """What limits judged of each comparison with a reference, and how many readings of "within 1 %" it passes."""
    compared = [(report, comparison) for report in reports for comparison in lookup.of_scope(report, Scope.REFERENCE)]
    if not compared:
        text = say("No arm was compared with a reference, so this report says nothing about accuracy.")
        return (Paragraph(text),)
    several = len(reports) > 1
    arms = {lookup.name_of(comparison) for _, comparison in compared}
    begins = [
        [
            *([code(report.scenario.name)] if several else []),
            *([code(lookup.name_of(comparison))] if len(arms) > 1 else []),
        ]
        for report, comparison in compared
    ]
    whole = [list(_judged(comparison)) for _, comparison in compared]
    few = sum(map(len, whole)) <= _MOST_LIMITS
    kept = whole if few else [_nearest(rows, comparison) for rows, (_, comparison) in zip(whole, compared, strict=True)]
    rows = [[*begin, *row] for begin, of_comparison in zip(begins, kept, strict=True) for row in of_comparison]
    left_out = sum(map(len, whole)) - len(rows)
    columns = (
        *((say("Scenario"),) if several else ()),
        *((say("Arms"),) if len(arms) > 1 else ()),
        say("Verdict"),
        say("Limit"),
        say("Worst measured"),
        say("Where"),
        say("Pairs passing"),
    )
    sentences = tuple(
        say("{name}: {text}", name=_name(report, comparison, several=several), text=say("{sentence}.", sentence=text))
        for report, comparison in compared
        if (text := readings.clause(comparison))
    )
    title = next(iter(arms)) if len(arms) == 1 else ""
    note = many(
        "Of each comparison the limit that is nearest to being broken, or farthest beyond; {count} more is below.",
        "Of each comparison the limit that is nearest to being broken, or farthest beyond; {count} more are below.",
        left_out,
    )
    shown = table(columns, rows, title=title, note=note if left_out else "")
    return (shown, *((Bullets(sentences),) if sentences else ()))


def _name(report: Report, comparison: Comparison, *, several: bool) -> str:
    name = lookup.name_of(comparison)
    return formats.names([report.scenario.name, name]) if several else name


def _judged(comparison: Comparison) -> Iterator[list[Cell]]:
    """A row for each limit; one with the outcome alone where nothing was judged."""
    if not comparison.limits or not comparison.pairs:
        yield [word(comparison.outcome), *[plain(labels.NONE)] * 4]
        return
    for limit in comparison.limits:
        rule, verdict, *others = limits_table.verdict_cells(comparison, limit, short=True)
        yield [verdict, rule, *others]


_MOST_LIMITS = 16
"""Rows of judged limits above which each comparison has one."""


def _nearest(rows: Sequence[list[Cell]], comparison: Comparison) -> list[list[Cell]]:
    """The row of the limit whose worst verdict is nearest to its limit or farthest beyond it."""
    rooms = [
        min(
            (room(verdict) for pair in comparison.pairs for verdict in pair.verdicts if verdict.limit == limit),
            default=math.inf,
        )
        for limit in comparison.limits
    ]
    return [rows[rooms.index(min(rooms))]] if len(rooms) == len(rows) else list(rows[:1])


def failing(reports: Sequence[Report]) -> tuple[Block, ...]:
    """The pairs that break a limit, farthest beyond it first, with their values; empty where none does."""
    broken = [
        (room(verdict), report, comparison, pair, verdict)
        for report in reports
        for comparison in report.comparisons
        for pair in comparison.pairs
        for verdict in pair.verdicts
        if verdict.status in {Status.DRIFT, Status.ERROR}
    ]
    if not broken:
        return ()
    broken.sort(key=lambda row: row[0])
    columns = (say("Scenario"), say("Arms"), say("Case and seed"), say("Limit"), say("Measured"))
    rows = [
        _broken(report, comparison, pair, verdict) for _, report, comparison, pair, verdict in broken[:_MOST_BROKEN]
    ]
    more = len(broken) - len(rows)
    note = many("{count} more is in metrics.csv.", "{count} more are in metrics.csv.", more) if more > 0 else ""
    return (table(columns, rows, note=note),)


_MOST_BROKEN = 10
_SCENARIO_WORD = 2
"""Place of the scenario file in a report's command, after ``harness VERB``."""


def where_and_why(report: Report) -> tuple[Block, ...]:
    """The command that says which module of the first arm that drifted is wrong; empty where none can be asked."""
    arms = {arm.name for arm in report.scenario.arms}
    for comparison in report.comparisons if report.scenario.frames is None else ():
        broken = [pair for pair in comparison.pairs if any(v.status is Status.DRIFT for v in pair.verdicts)]
        sides = {comparison.actual.arm, comparison.expected.arm}
        made_here = comparison.actual.noise not in {NoiseMode.UNVERIFIED, NoiseMode.BASELINE}
        made_here = made_here and comparison.expected.noise is not NoiseMode.UNVERIFIED
        called_alike = OnPurpose.ARGUMENTS not in (comparison.differing or [])
        named = len(report.command) > _SCENARIO_WORD and sides <= arms and len(sides) > 1
        if broken and made_here and called_alike and named:
            worst_pair = min(broken, key=lambda pair: min(map(room, pair.verdicts)))
            return (Listing(_explaining(report, comparison, worst_pair), say(_WHERE_AND_WHY), fold=False),)
    return ()


_WHERE_AND_WHY = marked(
    "Which module is wrong, and why, is said by this, in the folder that holds the scenarios folder:"
)


def _explaining(report: Report, comparison: Comparison, pair: Pair) -> str:
    words = ["harness", "explain", report.command[_SCENARIO_WORD], "--arm", comparison.actual.arm]
    words += ["--against", comparison.expected.arm, "--case", pair.key.case, "--seed", str(pair.key.seed)]
    words += ["--allow-command"] if "--allow-command" in report.command else []
    return clean(shlex.join(words))


def _broken(report: Report, comparison: Comparison, pair: Pair, verdict: Verdict) -> list[Cell]:
    return [
        code(report.scenario.name),
        code(lookup.name_of(comparison)),
        plain(labels.key(pair.key)),
        code(limits_table.rule(verdict.limit)),
        figure(limits_table.measured(pair, verdict, short=True)),
    ]
