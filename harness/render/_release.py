"""The report of a release as a document: the matrix first, then the sections that a porting note has, all measured."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import language, languages, many, marked, say, translated, untranslated
from harness.language import name_of as language_name
from harness.records import EXIT_CODES, Scope, Status, Task
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _limits_table as limits_table
from harness.render import _lookup as lookup
from harness.render import _models as models
from harness.render import _overview as overview
from harness.render import _pairs_table as pairs_table
from harness.render import _performance as performance
from harness.render import _provenance as provenance
from harness.render import _references as references
from harness.render import _results_table as results_table
from harness.render import _scores as scores
from harness.render._caveats import marks, not_shown
from harness.render._document import (
    Bullets,
    Document,
    Heading,
    Link,
    Links,
    Listing,
    Mark,
    Paragraph,
    Section,
    Table,
    clean,
    code,
    figure,
    plain,
    table,
)
from harness.render._matrix import matrix, missing
from harness.render._videos import videos
from harness.scenario import own_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from harness.records import Aggregate, CaseKey, Comparison, Release, ReleasedJob, Report
    from harness.render._document import Block, Cell

_LOG_LINES, _FEW_LOG_LINES = 30, 8
_MOST_ROWS = 12
"""Rows of a table of pairs where not all are shown."""
_HARMLESS = {
    "owner does not match": marked("a file of the toolkit belongs to another user than the one who reads it"),
    "allow_internal_format": marked("the switch for internal formats is read once and may not be set later"),
}
"""Lines of logs that look like faults and are none."""


def document(
    release: Release, plain_name: str, *, places: Mapping[tuple[str, CaseKey], str], details: bool
) -> Document:
    """Everything the report of a release says, in reading order.

    ``plain_name`` is the file's name in the first language, ``places`` where a page shows its cases; ``details`` adds
    the values of every pair, and those of float output and latents.
    """
    with untranslated() as missing:
        whole = Document(
            title=say("{name}: accuracy report of a release", name=release.name),
            summary=_summary(release),
            status=release.outcome,
            sentence=_sentence(release),
            reasons=tuple(_reasons(release)),
            marks=tuple(_marks(release)),
            answers=overview.answer_lines([job.report for job in release.jobs], release.missing),
            sections=tuple(_sections(release, places, details=details)),
            languages=tuple(
                Link(language_name(code), release.file_name(plain_name, code))
                for code in languages()
                if code in release.languages and code != language()
            ),
        )
    if not missing:
        return whole
    listing = Section("untranslated", say("8. Sentences that are not translated"), (Bullets(tuple(missing)),))
    return replace(whole, sections=(*whole.sections, listing))


def _sections(release: Release, places: Mapping[tuple[str, CaseKey], str], *, details: bool) -> Iterator[Section]:
    """What a reader decides by, and then, folded, all that it rests on."""
    reports = [job.report for job in release.jobs]
    yield Section("not-shown", say("What this does not show"), overview.gaps(reports))
    yield Section("matrix", say("Scenarios and arms"), tuple(_overview(release, places)))
    if broken := overview.failing(reports):
        yield Section("broken", say("Broken limits"), broken)
    yield Section("determinism", say("Determinism"), overview.determinism(reports))
    yield Section("accuracy", say("Accuracy"), overview.accuracy(reports))
    for name, title, blocks in (
        ("validated", say("1. What was validated"), (_questions(release), *_alike(release, _model))),
        ("environment", say("2. Environment"), _alike(release, _environment)),
        ("reproduce", say("3. How to reproduce"), _reproduce(release)),
        ("measurements", say("4. Accuracy, every measurement"), _accuracy(release, details=details)),
        ("evidence", say("5. Evidence"), _evidence(release, details=details)),
        ("limits", say("6. Limits, waivers, and what was not measured"), _limits(release)),
        ("links", say("7. Files and records"), _links(release)),
    ):
        yield Section(name, title, tuple(blocks), fold=True)


# --- head ------------------------------------------------------------------------------------------------------------


def _summary(release: Release) -> str:
    scenarios = {gap.scenario for gap in release.missing} | {scenario.name for scenario in release.scenarios}
    return say(
        "{scenarios} and {jobs}; every number is from a stored record, whose id stands beside it.",
        scenarios=many("{count} scenario", "{count} scenarios", len(scenarios)),
        jobs=many("{count} job", "{count} jobs", len(release.jobs)),
    )


def _sentence(release: Release) -> str:
    if release.missing:
        return many(
            "{count} thing that was asked for is MISSING, so the release is not proven.",
            "{count} things that were asked for are MISSING, so the release is not proven.",
            len(release.missing),
        )
    return say(labels.SENTENCES[release.outcome])


def _reasons(release: Release) -> Iterator[str]:
    for gap in release.missing:
        names = formats.names(filter(None, (gap.scenario, gap.arm)))
        yield say("MISSING: {names}: {reason}", names=names, reason=clean(translated(gap.reason)))
    for job in release.jobs:
        for comparison in job.report.comparisons:
            decides = comparison.outcome is not Status.SKIPPED or release.outcome is Status.SKIPPED
            if EXIT_CODES[comparison.outcome] != 0 and decides and comparison.message:
                yield _of_comparison(job, comparison)


def _marks(release: Release) -> Iterator[Mark]:
    """Marks of all reports, each text once, with the scenarios it holds for."""
    scenarios: dict[Mark, list[str]] = {}
    for job in release.jobs:
        for mark in marks(job.report):
            scenarios.setdefault(mark, []).append(job.report.scenario.name)
    kinds: dict[str, list[tuple[Mark, list[str]]]] = {}
    for mark, names in scenarios.items():
        kinds.setdefault(mark.kind, []).append((mark, names))
    for same in kinds.values():
        texts = [_titled(formats.names(dict.fromkeys(names)), mark.text) for mark, names in same]
        yield replace(same[0][0], text=" ".join(texts))


def _of_comparison(job: ReleasedJob, comparison: Comparison) -> str:
    """What a comparison says of itself, with its name."""
    name = formats.names([job.report.scenario.name, lookup.name_of(comparison)])
    return clean(_titled(name, own_words(job.report.scenario, comparison.message)))


def _titled(name: str, text: str) -> str:
    return say("{name}: {text}", name=name, text=text)


# --- matrix ----------------------------------------------------------------------------------------------------------


def _overview(release: Release, places: Mapping[tuple[str, CaseKey], str]) -> Iterator[Block]:
    yield matrix(release, places)
    if release.missing:
        yield Heading(say("What is missing"))
        yield missing(release)


# --- what, on what, how ----------------------------------------------------------------------------------------------


def _questions(release: Release) -> Table:
    rows = [
        [
            code(scenario.name),
            plain(say(_TASKS[scenario.task])),
            plain(own_words(scenario, scenario.summary)),
            figure(len(scenario.cases)),
            figure(formats.names(map(str, scenario.seeds))),
        ]
        for scenario in release.scenarios
    ]
    return table((say("Scenario"), say("Capability"), say("Question"), say("Cases"), say("Seeds")), rows)


def _alike(release: Release, build: Callable[[Report], Sequence[Block]]) -> Iterator[Block]:
    """What a builder makes of each job, under the names of all jobs for which it makes the same."""
    for blocks, jobs in _groups(release, build):
        yield Heading(_names(jobs))
        yield from blocks
        yield _source(jobs)
    if not release.jobs:
        yield Paragraph(say("No job answers anything that was asked for."))


def _groups(
    release: Release, build: Callable[[Report], Sequence[Block]]
) -> Iterable[tuple[tuple[Block, ...], list[ReleasedJob]]]:
    jobs_by_blocks: dict[tuple[Block, ...], list[ReleasedJob]] = {}
    for job in release.jobs:
        jobs_by_blocks.setdefault(tuple(build(job.report)), []).append(job)
    return jobs_by_blocks.items()


def _names(jobs: Sequence[ReleasedJob]) -> str:
    return formats.names(dict.fromkeys(job.report.scenario.name for job in jobs))


def _source(jobs: Sequence[ReleasedJob]) -> Paragraph:
    return Paragraph(say("From the records of {jobs}.", jobs=formats.names(job.job for job in jobs)))


def _model(report: Report) -> list[Block]:
    blocks: list[Block] = [provenance.model(report)]
    if notes := [*provenance.notes(report), *provenance.substitutions(report)]:
        blocks.append(Bullets(tuple(map(clean, map(translated, notes)))))
    return blocks


def _environment(report: Report) -> list[Block]:
    switches = provenance.switches(report)
    folded = replace(switches, open=False)
    return [provenance.environment(report), *([folded] if switches.rows else [])]


def _reproduce(release: Release) -> Iterator[Block]:
    commands = [shlex.join(job.report.command) for job in release.jobs if job.report.command]
    text = "\n".join(map(clean, dict.fromkeys([*commands, shlex.join(release.command)])))
    yield Listing(text, say("In the folder that holds the scenarios folder:"), fold=False)
    yield Paragraph(
        say(
            "The same result needs the same model digest, packages, device and switches as listed above. The last "
            "command runs nothing: it makes this report again from the records."
        )
    )
    for job in release.jobs:
        settings = provenance.settings(job.report)
        yield replace(settings, title=_titled(job.name, settings.title), fold=True, open=False)
        prompts = provenance.prompts(job.report)
        yield replace(prompts, title=_titled(job.name, prompts.title), fold=True, open=False)


# --- accuracy --------------------------------------------------------------------------------------------------------


def _accuracy(release: Release, *, details: bool) -> Iterator[Block]:
    yield Heading(say("4.1 Repeats on the device"))
    yield from _repeats(release, details=details)
    for number, (kind, title, nothing) in enumerate(_KINDS, 2):
        yield Heading(f"4.{number} {say(title)}")
        yield from _against(release, kind, say(nothing), details=details)
    yield Heading(f"4.{len(_KINDS) + 2} {say('By capability')}")
    yield from _capabilities(release, details=details)
    if scored := [job for job in release.jobs if scores.totals(job.report)]:
        yield Heading(f"4.{len(_KINDS) + 3} {say('Scores of pictures by their prompts')}")
        yield from _scores(scored, details=details)


_KINDS = (
    (
        "cpu",
        marked("Against a CPU reference"),
        marked("No arm was compared with a CPU, so nothing is said about the device's own arithmetic."),
    ),
    (
        "cuda",
        marked("Against a GPU baseline"),
        marked("No scenario of this release asks for a GPU, so nothing is said about one."),
    ),
    (
        "other",
        marked("Against other references"),
        marked("No arm was compared with any other device."),
    ),
)
"""Kinds of references, each with its title and with what is said where there is none."""


def _repeats(release: Release, *, details: bool) -> Iterator[Block]:
    for job in release.jobs:
        comparisons = lookup.of_scope(job.report, Scope.REPEAT)
        if not comparisons:
            yield Paragraph(say("{job}: no repeats were compared.", job=job.name))
            continue
        measures = replace(results_table.measures(job.report, comparisons, of_pictures=not details), title=job.name)
        yield measures if details else replace(measures, note="")
        yield _runs(comparisons)
        if details:
            yield from (
                replace(results_table.repeat_cases(job.report, comparison), fold=True, open=False)
                for comparison in comparisons
            )


def _against(release: Release, kind: str, nothing: str, *, details: bool) -> Iterator[Block]:
    shown = False
    for job in release.jobs:
        comparisons = [
            comparison for comparison in lookup.of_scope(job.report, Scope.REFERENCE) if _kind(comparison) == kind
        ]
        if comparisons:
            shown = True
            yield from _compared(job, comparisons, details=details)
    gaps = [gap for gap in release.missing if gap.arm and _asks(release, gap.scenario, gap.arm, kind)]
    if gaps:
        yield Bullets(tuple(_titled(say("MISSING"), formats.names([gap.scenario, gap.arm or ""])) for gap in gaps))
    elif not shown:
        yield Paragraph(nothing)


def _compared(job: ReleasedJob, comparisons: Sequence[Comparison], *, details: bool) -> Iterator[Block]:
    if any(comparison.pairs for comparison in comparisons):
        yield replace(results_table.measures(job.report, comparisons, of_pictures=not details), title=job.name)
        yield _runs(comparisons)
    for owners in references.accepted(comparisons):
        yield replace(owners, title=_titled(job.report.scenario.name, owners.title))
    for sentence in references.read_together(comparisons):
        yield Paragraph(clean(sentence))
    for comparison in comparisons:
        yield Paragraph(_of_comparison(job, comparison), comparison.outcome)
        if comparison.differences:
            yield Bullets(tuple(clean(translated(text)) for text in comparison.differences))
        yield from models.differences(job.report, comparison)
        for text in (references.reading(job.report, comparison), references.padding(comparison)):
            if text:
                yield Paragraph(clean(text))
        if comparison.limits and comparison.pairs:
            limits = limits_table.verdicts(comparison)
            yield replace(limits, title=_titled(job.report.scenario.name, limits.title))
        yield from limits_table.waived(job.report, comparison)
        yield from limits_table.ratios(comparison)
        yield from _pairs(job, comparison) if details else _worst_pairs(job, comparison)


def _pairs(job: ReleasedJob, comparison: Comparison) -> Iterator[Block]:
    yield from _videos(job, comparison)
    hints = pairs_table.hints(comparison)
    for block in ([hints] if hints else []) + pairs_table.pair_tables(comparison):
        yield replace(block, title=_titled(job.report.scenario.name, block.title), fold=True, open=False)


def _videos(job: ReleasedJob, comparison: Comparison) -> Iterator[Block]:
    """The table of videos, where there are any."""
    for block in videos(comparison):
        if isinstance(block, Table):
            yield replace(block, title=_titled(job.report.scenario.name, block.title))


def _worst_pairs(job: ReleasedJob, comparison: Comparison) -> Iterator[Block]:
    """The worst pairs by the first subject alone, where the values of all would take too much room."""
    yield from _videos(job, comparison)
    for block in pairs_table.pair_tables(comparison)[:1]:
        left_out = len(block.rows) - _MOST_ROWS
        note = (
            many(
                "and {count} more row, which is in index.html and metrics.csv",
                "and {count} more rows, which are in index.html and metrics.csv",
                left_out,
            )
            if left_out > 0
            else ""
        )
        yield replace(
            block, title=_titled(job.report.scenario.name, block.title), rows=block.rows[:_MOST_ROWS], note=note
        )


def _runs(comparisons: Sequence[Comparison]) -> Paragraph:
    sides = [side.id for comparison in comparisons for side in (comparison.actual, comparison.expected) if side.path]
    return Paragraph(say("Runs: {ids}.", ids=formats.names(dict.fromkeys(sides))))


def _kind(comparison: Comparison) -> str:
    backend = comparison.expected.backend or comparison.expected.device.partition(":")[0]
    return backend if backend in {"cpu", "cuda"} else "other"


def _asks(release: Release, scenario: str, arm: str, kind: str) -> bool:
    devices = [
        released_arm.device.partition(":")[0]
        for released in release.scenarios
        for released_arm in released.arms
        if (released.name, released_arm.name) == (scenario, arm)
    ]
    return kind in devices


# --- scores ----------------------------------------------------------------------------------------------------------


def _scores(jobs: Sequence[ReleasedJob], *, details: bool) -> Iterator[Block]:
    compared = False
    for job in jobs:
        totals, stated = scores.totals(job.report), scores.statements(job.report)
        if totals is not None:
            yield replace(totals, title=job.name, note=totals.note if job is jobs[-1] else "")
        if stated is not None:
            compared = True
            yield stated
        if details:
            tables = scores.wrong(job.report)
            yield from (replace(wrong, title=_titled(job.name, wrong.title), open=False) for wrong in tables)
    if compared:
        yield Paragraph(scores.equivalence())


# --- capabilities ----------------------------------------------------------------------------------------------------


_TASKS = {
    Task.TEXT_TO_IMAGE: marked("Text to image"),
    Task.IMAGE_EDITING: marked("Image editing"),
    Task.REASONING_GENERATION: marked("Reasoning generation"),
    Task.REASONING_EDITING: marked("Reasoning editing"),
    Task.TEXT_RENDERING: marked("Text rendering"),
}
"""What capabilities are called."""


def _capabilities(release: Release, *, details: bool) -> Iterator[Block]:
    groups: dict[tuple[object, ...], list[Aggregate]] = {}
    for row in (row for row in release.aggregates if details or row.subject == "image"):
        arms = (row.task, row.arm, row.against, row.device, row.against_device, row.dtype, row.against_dtype)
        groups.setdefault(arms, []).append(row)
    yield from (_capability(group) for group in groups.values())
    if not groups:
        yield Paragraph(say("No capability was compared with a reference."))


def _capability(group: Sequence[Aggregate]) -> Table:
    first = group[0]
    about, against = (
        f"{arm} ({', '.join(filter(None, [device, dtype]))})"
        for arm, device, dtype in (
            (first.arm, first.device, first.dtype),
            (first.against, first.against_device, first.against_dtype),
        )
    )
    title = say(
        "{task}: {arm} against {against}",
        task=say(_TASKS[first.task]),
        arm=formats.with_mark(about, simulated=first.simulated),
        against=against,
    )
    ordered = sorted(group, key=lambda row: (row.subject != "image", labels.metric_rank(row.metric), row.subject))
    note = say(
        "Mean ± half the width of its 95 % interval (Student) over cases and seeds; a case and seed counts once, and "
        "they are taken as independent, although seeds of one prompt are not quite. Cases and seeds without a finite "
        "value, such as the PSNR of equal pictures, are left out of the mean and counted. From {comparisons}.",
        comparisons=formats.names(first.comparisons),
    )
    columns = (say("Measure"), say("Cases and seeds"), say("Mean"), say("Worst"), say("Where"))
    return table(columns, map(_aggregate, ordered), title=title, note=note)


def _aggregate(row: Aggregate) -> list[Cell]:
    left_out = say("{count} and {left_out} left out", count=row.keys, left_out=row.left_out)
    return [
        plain(labels.metric_name(row.metric, row.subject)),
        figure(left_out if row.left_out else row.keys),
        figure(_mean(row)),
        figure(_value(row.worst, row.unit)),
        plain(formats.names([row.worst_scenario, labels.key(row.worst_key)])),
    ]


def _mean(row: Aggregate) -> str:
    if row.mean is None:
        return say("no finite value")
    mean = formats.number(row.mean)
    return say("{mean}, one value", mean=mean) if row.reach is None else f"{mean} ± {formats.number(row.reach)}"


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return say("undefined")
    return f"{formats.number(value)} {unit}".strip()


# --- evidence --------------------------------------------------------------------------------------------------------


def _evidence(release: Release, *, details: bool) -> Iterator[Block]:
    for title, build in (
        (say("Device allocation"), performance.allocation),
        (say("Performance"), performance.performance),
    ):
        yield Heading(title)
        for job in release.jobs:
            shown = build(job.report)
            if shown.rows:
                yield replace(shown, title=job.name)
    lines = _LOG_LINES if details else _FEW_LOG_LINES
    yield Heading(say("Log excerpt"))
    for job in release.jobs:
        for run in job.report.runs:
            if run.log_tail.strip():
                last = "\n".join(clean(run.log_tail).strip("\n").splitlines()[-lines:])
                yield Listing(last, say("Last lines of {arm}, run {id}", arm=run.plan.arm.name, id=run.id))
    if not any(run.log_tail.strip() for job in release.jobs for run in job.report.runs):
        yield Paragraph(say("The workers wrote no log."))


# --- limits ----------------------------------------------------------------------------------------------------------


def _limits(release: Release) -> Iterator[Block]:
    yield Heading(say("Limits and their reasons"))
    for (limits,), jobs in _groups(release, lambda report: [limits_table.limits(report)]):
        if isinstance(limits, Table) and limits.rows:
            yield replace(limits, title=_names(jobs))
        else:
            yield Paragraph(say("{scenarios}: no limits are set.", scenarios=_names(jobs)))
        yield _source(jobs)
    yield Heading(say("Waivers"))
    waivers = [(job, limits_table.waivers(job.report)) for job in release.jobs]
    yield from (replace(waiver_table, title=job.name) for job, waiver_table in waivers if waiver_table.rows)
    if not any(waiver_table.rows for _, waiver_table in waivers):
        yield Paragraph(say("No limit is waived."))
    yield Heading(say("Warnings that are known to be harmless"))
    yield from _harmless(release)
    yield Heading(say("What was not measured, and why"))
    yield from _not_measured(release)


def _harmless(release: Release) -> Iterator[Block]:
    rows = [
        [code(run.id), code(text), plain(say(why))]
        for job in release.jobs
        for run in job.report.runs
        for text, why in _HARMLESS.items()
        if text in run.log_tail
    ]
    if rows:
        yield table((say("Run"), say("Warning"), say("Why it is harmless")), rows)
    else:
        yield Paragraph(say("None found in the logs."))


def _not_measured(release: Release) -> Iterator[Block]:
    if release.missing:
        yield Paragraph(say("What is MISSING stands with its reasons below the matrix."))
    scenarios: dict[str, list[str]] = {}
    for job in release.jobs:
        for sentence in not_shown(job.report):
            scenarios.setdefault(clean(sentence), []).append(job.report.scenario.name)
    yield Bullets(
        tuple(
            say("{sentence} ({scenarios})", sentence=sentence, scenarios=formats.names(dict.fromkeys(names)))
            for sentence, names in scenarios.items()
        )
    )


# --- links -----------------------------------------------------------------------------------------------------------


def _links(release: Release) -> Iterator[Block]:
    names = [release.file_name(plain_name, locale) for plain_name in _TEXTS for locale in release.languages]
    yield Paragraph(say("Files beside this one; manifest.json has the SHA-256 and the size of each:"))
    yield Links(tuple(Link(name, name) for name in (*names, *_RECORDS)))
    yield table((say("Job"), say("Scenario"), say("Arm"), say("Run")), _run_rows(release), title=say("Records"))


_TEXTS = ("index.html", "report.md")
_RECORDS = ("report.json", "junit.xml", "metrics.csv", "manifest.json")


def _run_rows(release: Release) -> Iterator[list[Cell]]:
    for job in release.jobs:
        for run in job.report.runs:
            name = provenance.name_of(run)
            yield [code(job.job), code(job.report.scenario.name), code(name), code(run.id)]
