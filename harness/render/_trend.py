"""What is said of one scenario over several jobs: its values with their bounds, and what changed between the jobs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import language, many, marked, say, translated
from harness.language import name_of as language_name
from harness.records import EXIT_CODES, ChangeKind, Scope
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._courses import Value, course
from harness.render._document import (
    Bullets,
    Charts,
    Document,
    Figure,
    Heading,
    Link,
    Mark,
    Paragraph,
    Section,
    Table,
    clean,
    code,
    figure,
    plain,
    table,
    word,
)
from harness.render._templates import tone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.records import Trend, TrendChange, TrendPoint, TrendValue
    from harness.render._courses import Course
    from harness.render._document import Block, Cell

_WITHOUT_LIMITS = ("psnr_db", "ssim", "max_abs_diff")
"""Metrics of 8-bit pictures that are shown where no limit judges a comparison."""
_MOST_CHANGES = 4
"""Changes that are named in the row of a job."""
_MOST_ROWS = 12
"""Rows of a table that is shown open."""

_KINDS: dict[ChangeKind, str] = {
    ChangeKind.PACKAGE: marked("package"),
    ChangeKind.DEVICE: marked("device"),
    ChangeKind.SWITCH: marked("switch"),
    ChangeKind.HOST: marked("machine"),
    ChangeKind.SETTING: marked("setting of the arm"),
    ChangeKind.SCENARIO: marked("scenario"),
    ChangeKind.CODE: marked("code"),
}


def document(trend: Trend, names: Mapping[str, str]) -> Document:
    """Everything the page says; ``names`` are the names of its files by language."""
    newest = trend.points[-1]
    return Document(
        title=say("{scenario} from job to job", scenario=trend.scenario),
        summary=say(
            "Values, limits and verdicts are those of the stored records; nothing was measured or judged again."
        ),
        status=newest.outcome,
        sentence=say(
            "The newest job is {job}. {sentence}", job=newest.job, sentence=say(labels.SENTENCES[newest.outcome])
        ),
        reasons=(),
        marks=tuple(_marks(trend)),
        figures=tuple(_figures(trend)),
        sections=tuple(section for section in _sections(trend) if section.blocks),
        languages=tuple(Link(language_name(tongue), name) for tongue, name in names.items() if tongue != language()),
        pictures_before=(),
    )


def _marks(trend: Trend) -> Iterator[Mark]:
    simulated = dict.fromkeys(arm for point in trend.points for arm in point.simulated_arms)
    if simulated:
        text = say(
            "A stand-in library plays the device of {arms}. No number here was made by such a chip.",
            arms=formats.listed(list(simulated)),
        )
        yield Mark(say("SIMULATED DEVICE: not evidence about real hardware"), text, "simulated")
    on_cpu = dict.fromkeys(arm for point in trend.points for arm in point.cpu_candidates)
    if on_cpu:
        text = say(
            "{arms} ran on a CPU, a stand-in for an accelerator. This shows nothing about an NPU or GPU.",
            arms=formats.listed(list(on_cpu)),
        )
        yield Mark(say("CPU stand-in: not an accelerator"), text, "cpu")
    if trend.left_out:
        text = many(
            "{count} job or release is not part of this page; the reason stands at its end.",
            "{count} jobs or releases are not part of this page; the reasons stand at its end.",
            len(trend.left_out),
        )
        yield Mark(say("LEFT OUT"), text, "unfinished")


def _figures(trend: Trend) -> Iterator[Figure]:
    passed = sum(EXIT_CODES[point.outcome] == 0 for point in trend.points)
    whole = len(trend.points)
    yield Figure(say("{part} of {whole}", part=passed, whole=whole), say("jobs passed"))
    changed = sum(bool(point.changes) for point in trend.points)
    yield Figure(str(changed), many("job after a change", "jobs after a change", changed))
    if released := {name for point in trend.points for name in point.releases}:
        yield Figure(str(len(released)), many("release", "releases", len(released)))


def _sections(trend: Trend) -> Iterator[Section]:
    yield Section("newest", say("Newest job against the one before"), tuple(_newest(trend)))
    yield Section("values", say("Values and limits"), tuple(_values(trend)))
    yield Section("repeats", say("Determinism"), (_repeats(trend),))
    yield Section("jobs", say("Jobs"), (_jobs(trend),))
    yield Section("changes", say("What changed between jobs"), (_changes(trend),))
    yield Section("left-out", say("Left out"), tuple(_left_out(trend)))
    yield Section("not-shown", say("What this does not show"), (Bullets(tuple(_not_shown(trend))),))


# --- values ----------------------------------------------------------------------------------------------------------


def _shown(trend: Trend) -> dict[tuple[str, str, Scope], list[TrendValue]]:
    """By comparison, the first of each line that is shown: what a limit judges in any job, else some metrics."""
    groups: dict[tuple[str, str, Scope], dict[tuple[object, ...], list[TrendValue]]] = {}
    for point in trend.points:
        for value in point.values:
            group = groups.setdefault((value.arm, value.against, value.scope), {})
            group.setdefault(value.series, []).append(value)
    chosen = {}
    for arms, lines in groups.items():
        judged = [values[-1] for values in lines.values() if any(value.bound is not None for value in values)]
        usual = [
            values[-1]
            for values in lines.values()
            if values[-1].subject == "image" and values[-1].metric in _WITHOUT_LIMITS
        ]
        chosen[arms] = sorted(judged or usual, key=lambda value: labels.metric_rank(value.metric))
    return {arms: values for arms, values in chosen.items() if values}


def _is_determinism(lines: Sequence[TrendValue]) -> bool:
    """Whether lines only say that repeats are equal, which a section of its own tells."""
    return all(line.scope is Scope.REPEAT and line.metric == "identical" for line in lines)


def _of(point: TrendPoint, line: TrendValue) -> TrendValue | None:
    return next((value for value in point.values if value.series == line.series), None)


def _newest(trend: Trend) -> Iterator[Block]:
    before, newest = trend.points[-2:]
    rows: list[list[Cell]] = []
    for line in (line for lines in _shown(trend).values() for line in lines):
        old, new = _of(before, line), _of(newest, line)
        rows.append(
            [
                plain(_compared(line)),
                plain(_name(line)),
                figure(_number(old)),
                figure(_number(new)),
                figure(_bound(new)),
                word(new.status) if new and new.status else plain(labels.NONE),
            ]
        )
    columns = (say("Compared"), say("Metric"), say("Before"), say("Newest"), say("Limit"), say("Verdict"))
    if rows:
        yield table(columns, rows)
    yield Paragraph(_changed(newest) or say("Nothing that is recorded changed between the two."))


def _values(trend: Trend) -> Iterator[Block]:
    changed = [number for number, point in enumerate(trend.points, 1) if point.changes]
    shown = _shown(trend)
    if not shown:
        yield Paragraph(say("Nothing was measured."))
    for lines in shown.values():
        if _is_determinism(lines):
            continue
        yield Heading(_compared(lines[0]))
        drawings = [drawing for line in lines if (drawing := _course(trend, line, changed))]
        if drawings:
            yield Charts(tuple(drawings))
        yield _rows(trend, lines)
    if shown:
        yield Paragraph(
            say(
                "Each point is the worst value of a job, a broken limit in another colour; the dashed line is its "
                "limit. A dotted line stands where something changed before a job."
            )
        )


def _course(trend: Trend, line: TrendValue, changed: Sequence[int]) -> Course | None:
    if line.metric == "identical":
        return None  # yes or no is no curve
    values = []
    for point in trend.points:
        value = _of(point, line)
        words = say("{job}: {text}", job=point.job, text=_number(value))
        status = value.status if value else None
        number = value.value if value and value.value is not None and not math.isnan(value.value) else None
        values.append(
            Value(
                number=number,
                bound=value.bound if value else None,
                tone=tone(status) if status else "good",
                words=clean(words),
            )
        )
    newest = _of(trend.points[-1], line)
    note = say("limit: {limit}", limit=_bound(newest)) if newest and newest.bound is not None else say("no limit")
    return course(clean(_name(line)), clean(note), values, changed)


def _rows(trend: Trend, lines: Sequence[TrendValue]) -> Table:
    rows = [
        [
            plain(_name(line)),
            figure(number),
            figure(_number(value)),
            figure(_bound(value)),
            word(value.status) if value.status else plain(labels.NONE),
            figure(value.pairs),
            plain(labels.key(value.key) if value.key else labels.NONE),
        ]
        for line in lines
        for number, point in reversed(list(enumerate(trend.points, 1)))
        if (value := _of(point, line))
    ]
    columns = (
        *(say("Metric"), say("Job"), say("Worst value"), say("Limit"), say("Verdict"), say("Pairs"), say("Worst pair")),
    )
    title = say("All values: {compared}", compared=_compared(lines[0]))
    return replace(table(columns, rows, title=title, fold=True), open=False)


def _compared(value: TrendValue) -> str:
    if value.scope is Scope.REPEAT:
        return say("Repeats of {arm}", arm=value.arm)
    return say("{actual} against {expected}", actual=value.arm, expected=value.against)


def _name(value: TrendValue) -> str:
    name = labels.metric_name(value.metric, value.subject)
    if value.kind == "ratio":
        return say("{metric}, ratio to {arm}", metric=name, arm=value.ratio_to)
    if value.kind == "score":
        return say("{score}, largest difference that its interval holds", score=value.metric)
    return say("{metric} ({unit})", metric=name, unit=translated(value.unit)) if value.unit else name


def _number(value: TrendValue | None) -> str:
    if value is None or value.value is None:
        return say(labels.NOT_MEASURED)
    if value.metric == "identical":
        return labels.yes_or_no(value.value)
    return formats.number(value.value)


def _bound(value: TrendValue | None) -> str:
    if value is None or value.bound is None:
        return labels.NONE
    if value.metric == "identical":
        return labels.yes_or_no(value.bound)
    number = formats.number(value.bound)
    if value.at_least is not None:
        return say("at least {bound}", bound=number)
    return say("at most {bound}", bound=number) if value.at_most is not None else say("exactly {bound}", bound=number)


# --- jobs ------------------------------------------------------------------------------------------------------------


def _repeats(trend: Trend) -> Table:
    rows = [
        [
            figure(number),
            code(repeats.arm),
            figure(repeats.cases),
            figure(repeats.fewest_runs),
            figure(repeats.most_outcomes),
            figure(labels.NONE if repeats.bound_95 is None else formats.percent(repeats.bound_95)),
            word(repeats.status),
        ]
        for number, point in reversed(list(enumerate(trend.points, 1)))
        for repeats in point.repeats
    ]
    columns = (
        say("Job"),
        say("Arm"),
        say("Cases and seeds"),
        say("Runs each"),
        say("Distinct outcomes"),
        say("95 % upper bound"),
        say("Outcome"),
    )
    note = say(
        "The bound is the failure rate that so many identical runs leave possible with 95 % confidence; {none} where "
        "runs differ.",
        none=labels.NONE,
    )
    return _folded(table(columns, rows, note=note), say("Repeats of every job"))


def _folded(whole: Table, title: str) -> Table:
    """The table, folded where it is long."""
    return whole if len(whole.rows) <= _MOST_ROWS else replace(whole, title=title, fold=True, open=False)


def _jobs(trend: Trend) -> Table:
    rows = [
        [
            figure(number),
            code(point.job),
            plain(point.started_utc[:16].replace("T", " ")),
            word(point.outcome),
            plain(formats.names(point.devices) or labels.NONE),
            plain(formats.names(point.releases) or labels.NONE),
            plain(_changed(point) or labels.NONE),
        ]
        for number, point in reversed(list(enumerate(trend.points, 1)))
    ]
    columns = (
        say("Number"),
        say("Job"),
        say("Started (UTC)"),
        say("Outcome"),
        say("Device"),
        say("Releases"),
        say("Changed since the job before"),
    )
    return table(columns, rows)


def _changed(point: TrendPoint) -> str:
    """What changed before a job, in a row; empty where nothing did."""
    named = [_change(change) for change in point.changes[:_MOST_CHANGES]]
    if (more := len(point.changes) - _MOST_CHANGES) > 0:
        named.append(many("{count} more change", "{count} more changes", more))
    return clean(formats.clauses(named))


def _change(change: TrendChange) -> str:
    return say("{name}: {before} → {after}", name=change.name, before=_side(change.before), after=_side(change.after))


def _side(value: str) -> str:
    return value or say("not there")


def _changes(trend: Trend) -> Table:
    rows = [
        [
            figure(number),
            plain(say(_KINDS[change.kind])),
            code(change.name),
            plain(formats.names(change.arms) or say("all")),
            code(change.before) if change.before else plain(_side("")),
            code(change.after) if change.after else plain(_side("")),
        ]
        for number, point in reversed(list(enumerate(trend.points, 1)))
        for change in point.changes
    ]
    columns = (say("Job"), say("Kind"), say("Name"), say("Arms"), say("Before"), say("After"))
    note = say("A long value is shown as its length and the beginning of its digest.")
    whole = table(columns, rows, note=note if rows else say("Nothing that is recorded changed."))
    return _folded(whole, say("Changes before every job"))


def _left_out(trend: Trend) -> Iterator[Block]:
    if trend.left_out:
        rows = [[code(entry.name), plain(translated(entry.reason))] for entry in trend.left_out]
        yield table((say("Job or release"), say("Why it is left out")), rows)


def _not_shown(trend: Trend) -> Iterator[str]:
    if any(len(point.changes) > 1 for point in trend.points):
        yield say("Which of several changes between two jobs moved a value.")
    yield say("Jobs that were deleted, and anything between two jobs.")
    if any(change.kind is ChangeKind.SCENARIO for point in trend.points for change in point.changes):
        yield say("That values before and after a change of the scenario answer the same question.")
