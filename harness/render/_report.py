"""The report as a document: which sections there are and in which order they are read."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.records import EXIT_CODES, Scope
from harness.render import _explanation as explanation
from harness.render import _failures as failure_rows
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _limits_table as limits_table
from harness.render import _lookup as lookup
from harness.render import _models as models
from harness.render import _overview as overview
from harness.render import _pairs_table as pairs_table
from harness.render import _performance as performance
from harness.render import _provenance as provenance
from harness.render import _readings as readings
from harness.render import _references as references
from harness.render import _results_table as results_table
from harness.render._caveats import marks, not_shown
from harness.render._document import (
    AnswerLine,
    Block,
    Bullets,
    Document,
    Figure,
    Heading,
    Link,
    Listing,
    Paragraph,
    Section,
    Table,
    clean,
)
from harness.render._scores import scores
from harness.render._videos import videos
from harness.scenario import own_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.records import Comparison, Report


def document(report: Report) -> Document:
    """Everything a report says, in reading order."""
    deciding = [
        comparison for comparison in report.comparisons if comparison.outcome is report.outcome and comparison.message
    ]
    reasons = [
        say("{name}: {text}", name=_scoped(comparison), text=own_words(report.scenario, comparison.message))
        for comparison in deciding
    ]
    return Document(
        title=clean(translated(report.title)),
        summary=clean(own_words(report.scenario, report.scenario.summary)),
        status=report.outcome,
        sentence=say(labels.SENTENCES[report.outcome]),
        reasons=tuple(map(clean, dict.fromkeys(reasons))),
        marks=marks(report),
        answers=(*overview.answer_lines([report]), *_explained(report)),
        figures=tuple(_figures(report)),
        sections=tuple(section for section in _sections(report) if section.blocks),
    )


def _explained(report: Report) -> Iterator[AnswerLine]:
    """Where and why the worst case is wrong, where somebody asked."""
    if report.explanation is not None:
        yield AnswerLine(
            question=say("Where is it wrong, and why?"),
            answered=None,
            word="",
            text=clean(explanation.in_short(report.explanation)),
            link=Link(say("The proof"), "../explanation/index.html"),
        )


def _scoped(comparison: Comparison) -> str:
    name = lookup.name_of(comparison)
    return say("Repeats of {arm}", arm=name) if comparison.scope is Scope.REPEAT else name


def _sections(report: Report) -> Iterator[Section]:
    """What a reader decides by, and then, folded, all that it rests on."""
    failures = tuple(_failures(report))
    failed = bool(failure_rows.failures_of(report))
    yield Section("not-shown", say("What this does not show"), overview.gaps([report]))
    # Whoever opens a report of a failed run looks for the failure first.
    if failed:
        yield Section("failures", say("Failures"), failures)
    yield Section("broken", say("Broken limits"), (*overview.failing([report]), *overview.where_and_why(report)))
    yield Section("determinism", say("Determinism"), overview.determinism([report]))
    yield Section("accuracy", say("Accuracy"), overview.accuracy([report]))
    yield Section("scores", say("Scores"), tuple(scores(report)))
    for name, title, blocks in _folded(report):
        yield Section(name, title, tuple(blocks), fold=True)
    if not failed:
        yield Section("failures", say("Failures"), failures, fold=True)


def _folded(report: Report) -> Iterator[tuple[str, str, Iterable[Block]]]:
    yield "summary", say("Comparisons"), _summary(report)
    yield "repeats", say("Repeats"), _repeats(report)
    yield "reference", say("Against reference"), _reference(report)
    yield "limits", say("Limits and waivers"), _limits(report)
    yield "definitions", say("Definitions"), [_or(pairs_table.definitions(report), say("Nothing was measured."))]
    yield "gaps", say("Everything that is not shown"), [Bullets(tuple(map(clean, not_shown(report))))]
    yield "work", say("What was run"), _work(report)
    yield "model", say("Model"), _model(report)
    yield "environment", say("Environment"), _environment(report)
    allocation, performed = performance.allocation(report), performance.performance(report)
    yield "allocation", say("Device allocation"), [_or(allocation, say("No model was loaded."))]
    yield "performance", say("Performance"), [_or(performed, say("Nothing was run."))]
    yield "log", say("Log excerpt"), _log(report)
    yield "reproduce", say("How to reproduce"), _reproduce(report)


def _or(table: Table, otherwise: str) -> Block:
    return table if table.rows else Paragraph(otherwise)


def _summary(report: Report) -> tuple[Block, ...]:
    return (_or(results_table.summary(report), say("No comparison was made.")),)


def _failures(report: Report) -> Iterator[Block]:
    failures = failure_rows.failures_of(report)
    yield failure_rows.failures(failures) if failures else Paragraph(say("No failure was recorded."))
    for arm, failure in failures:
        if failure.traceback.strip():
            title = say(
                "Traceback of {arm}, process {process}: {error}", arm=arm, process=failure.process, error=failure.error
            )
            yield Listing(clean(failure.traceback).strip("\n"), title)
    if retried := failure_rows.retried(report):
        yield Paragraph(
            say(
                "After the following a new process took over, as --retries allowed. These are failures of the machine, "
                "not of the work; what was made before them is judged with all the rest."
            )
        )
        yield failure_rows.failures(retried)


def _repeats(report: Report) -> Iterator[Block]:
    comparisons = lookup.of_scope(report, Scope.REPEAT)
    if not comparisons:
        yield Paragraph(say("No repeats were compared."))
        return
    yield results_table.measures(report, comparisons)
    for comparison in comparisons:
        yield Heading(_scoped(comparison), comparison.outcome)
        yield from _judged(report, comparison)
        if comparison.repetitions:
            yield results_table.repeat_cases(report, comparison)
        yield from _pairs(comparison)


def _reference(report: Report) -> Iterator[Block]:
    comparisons = lookup.of_scope(report, Scope.REFERENCE)
    if not comparisons:
        yield Paragraph(say("No arm was compared with a reference, so this report says nothing about accuracy."))
        return
    if any(comparison.pairs for comparison in comparisons):
        yield results_table.measures(report, comparisons)
    yield from references.accepted(comparisons)
    for sentence in references.read_together(comparisons):
        yield Paragraph(clean(sentence))
    for comparison in comparisons:
        yield Heading(_scoped(comparison), comparison.outcome)
        yield from _judged(report, comparison)
        yield from _understood(report, comparison)
        yield from _readings(comparison)
        yield from _pairs(comparison)


def _pairs(comparison: Comparison) -> Iterator[Block]:
    yield from videos(comparison)
    if (hints := pairs_table.hints(comparison)) is not None:
        yield hints
    yield from pairs_table.pair_tables(comparison)


def _understood(report: Report, comparison: Comparison) -> Iterator[Block]:
    for text in (references.reading(report, comparison), references.padding(comparison)):
        if text:
            yield Paragraph(clean(text))
    traces = references.traces(comparison)
    if traces:
        yield traces


def _readings(comparison: Comparison) -> Iterator[Block]:
    if text := readings.sentence(comparison):
        yield Paragraph(text)
    if (rows := readings.readings(comparison)) is not None:
        yield replace(rows, fold=True, open=False)


def _judged(report: Report, comparison: Comparison) -> Iterator[Block]:
    if comparison.differences:
        yield Paragraph(say("NOT COMPARABLE. What must be the same differs:"))
        yield Bullets(tuple(clean(translated(difference)) for difference in comparison.differences))
    if comparison.message:
        yield Paragraph(_sentence(report, comparison.message))
    yield from models.differences(report, comparison)
    if comparison.missing:
        yield Paragraph(say("Missing:"))
        yield Bullets(tuple(map(labels.key, comparison.missing)))
    if comparison.unexpected:
        yield Paragraph(say("Unexpected:"))
        yield Bullets(tuple(map(labels.key, comparison.unexpected)))
    if comparison.notices:
        yield Bullets(tuple(clean(own_words(report.scenario, notice)) for notice in comparison.notices))
    if comparison.limits:
        yield limits_table.verdicts(comparison)
    yield from limits_table.waived(report, comparison)
    yield from limits_table.ratios(comparison)
    if not comparison.pairs and not comparison.differences:
        yield Paragraph(say("No pair was measured."))


def _sentence(report: Report, message: str) -> str:
    """A message of a record with a stop last; as it was recorded, which is in English, also with a capital first."""
    text = own_words(report.scenario, message)
    stop = say(".")
    stopped = text.endswith((".", "!", "?", stop, f"{stop}）"))
    if text == message:
        return clean(text[:1].upper() + text[1:] + ("" if stopped else "."))
    return clean(text if stopped else say("{sentence}.", sentence=text))


def _limits(report: Report) -> Iterator[Block]:
    yield _or(
        limits_table.limits(report), say("The scenario sets no limits, so differences are reported and not judged.")
    )
    yield _or(limits_table.waivers(report), say("No limit is waived."))


def _work(report: Report) -> Iterator[Block]:
    yield provenance.prompts(report)
    yield provenance.settings(report)
    yield _or(provenance.work(report), say("No arm has a run."))


def _model(report: Report) -> Iterator[Block]:
    yield _or(provenance.model(report), say("No model was loaded."))
    notes = provenance.notes(report)
    if notes:
        yield Paragraph(say("What the adapter says about the loaded pipeline:"))
        yield Bullets(tuple(map(clean, notes)))
    substitutions = provenance.substitutions(report)
    if substitutions:
        yield Paragraph(say("What was asked for and replaced:"))
        yield Bullets(tuple(map(clean, substitutions)))


def _environment(report: Report) -> Iterator[Block]:
    yield _or(provenance.environment(report), say("No arm has a run."))
    yield _or(provenance.switches(report), say("No switch was recorded."))


def _log(report: Report) -> Iterator[Block]:
    for run in report.runs:
        if run.log_tail.strip():
            yield Listing(
                clean(run.log_tail).strip("\n"),
                say("Last lines of {arm}, run {run}", arm=run.plan.arm.name, run=run.id),
            )
    if not any(run.log_tail.strip() for run in report.runs):
        yield Paragraph(say("The workers wrote no log."))


def _reproduce(report: Report) -> Iterator[Block]:
    if not report.command:
        yield Paragraph(say("The command was not recorded."))
        return
    yield Listing(clean(shlex.join(report.command)), say("In the folder that holds the scenarios folder:"), fold=False)
    yield Paragraph(say("The same result needs the same model digest, packages, device and switches as listed above."))


def _figures(report: Report) -> Iterator[Figure]:
    """Numbers for the head of the page, all of them repeated with their place in the tables below."""
    made = sum(len(run.samples) for run in report.runs)
    arms = many("{count} arm", "{count} arms", len(report.runs))
    yield Figure(str(made), many("picture made by {arms}", "pictures made by {arms}", made, arms=arms))
    repeats = lookup.of_scope(report, Scope.REPEAT)
    repetitions = [repetition for comparison in repeats for repetition in comparison.repetitions]
    if repetitions:
        most = max(len(repetition.outcomes) for repetition in repetitions)
        yield Figure(str(most), many("distinct outcome per case and seed", "distinct outcomes at worst", most))
    steady = [repetition for repetition in repetitions if len(repetition.outcomes) == 1 and repetition.runs > 1]
    if steady and len(steady) == len(repetitions):
        yield Figure(
            formats.percent(max(repetition.bound_95 for repetition in steady)), say("failure rate, 95 % upper bound")
        )
    yield from _worst_reference(lookup.of_scope(report, Scope.REFERENCE))
    failing = sum(EXIT_CODES[comparison.outcome] != 0 for comparison in report.comparisons)
    of = len(report.comparisons)
    yield Figure(say("{part} of {whole}", part=of - failing, whole=of), say("comparisons passed"))


def _worst_reference(comparisons: Sequence[Comparison]) -> Iterator[Figure]:
    pairs = [pair for comparison in comparisons for pair in comparison.pairs]
    worst = lookup.worst_pair(pairs, "psnr_db", "image")
    if worst is not None and worst[1].value is not None:
        yield Figure(formats.measured(worst[1], unit=True), say("worst PSNR against a reference"))
