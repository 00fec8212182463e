"""The card that a porter publishes: the sections of a porting note, every figure from a record, in a few kilobytes."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.language import say, translated
from harness.records import NoiseMode, Role, Scope
from harness.render import _card_tables as tables
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render import _overview as overview
from harness.render import _provenance as provenance
from harness.render._caveats import marks
from harness.render._document import clean
from harness.scenario import names_a_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records import Comparison, Pair, Release, Report, Run
    from harness.render._document import AnswerLine, Mark, Table

_HARDWARE = {"npu": "NPU", "cuda": "GPU"}
"""What platforms call an accelerator, by backend."""
_TAGS = {"npu": ("NPU", "Ascend", "ascend-npu"), "cuda": ("GPU", "CUDA")}


@dataclass(frozen=True, kw_only=True)
class CardPicture:
    """One image that a card shows."""

    title: str
    file: str
    """Its name below the card's folder."""
    run: str
    """Id of the run that made it."""
    path: str
    """Its file inside the run's folder."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that a card says, in the spoken language."""

    title: str
    hardware: tuple[str, ...]
    """What it ran on, in the word that platforms read."""
    kind: str
    """Task of the model, in the word that platforms read."""
    tags: tuple[str, ...]
    marks: tuple[Mark, ...]
    answers: tuple[AnswerLine, ...]
    environment: Table
    example: str
    """Command that makes one image; empty where the images were made elsewhere, or are frames of videos."""
    settings: Table
    repeats: Table
    references: Table | None
    ladders: tuple[tables.ReadingsOfArms, ...]
    """Readings of "within 1 %", of each two arms that were compared."""
    allocation: Table
    performance: Table
    pictures: tuple[CardPicture, ...]
    """The worst pair of each two arms."""
    notes: tuple[str, ...]
    """What a user of the port needs to know."""
    not_shown: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    """The card in other languages: name of the language and file."""


def card(release: Release, others: Sequence[tuple[str, str]], *, ladders: int) -> Card:
    """The card of a release; ``others`` are its files in other languages, by the languages' names.

    At most ``ladders`` of the tables with readings of "within 1 %" are shown whole, those with most differences first.
    """
    reports = [job.report for job in release.jobs]
    runs = [run for report in reports for run in report.runs]
    candidates = [run for run in runs if run.plan.arm.role is Role.CANDIDATE]
    accelerators = tuple(_accelerators(candidates))
    models = dict.fromkeys(report.scenario.model.source for report in reports)
    tasks = dict.fromkeys(map(_task, reports))
    return Card(
        title=say("{name}: accuracy of {models}", name=release.name, models=formats.names(models)),
        hardware=tuple(_HARDWARE[backend] for backend in accelerators) or ("CPU",),
        kind=_kind(reports),
        tags=(*(tag for backend in accelerators for tag in _TAGS[backend]), *tasks),
        marks=tuple({mark.kind: mark for report in reports for mark in marks(report)}.values()),
        answers=overview.answer_lines(reports, release.missing),
        environment=tables.environment(candidates),
        example=_example(reports, candidates),
        settings=tables.settings(reports),
        repeats=tables.repeats(reports),
        references=tables.references(reports),
        ladders=tables.ladders(reports, whole=ladders),
        allocation=tables.allocation(candidates),
        performance=tables.performance(reports),
        pictures=tuple(pictures(release)),
        notes=tuple(dict.fromkeys(map(clean, _notes(reports, candidates)))),
        not_shown=tuple(map(clean, _not_shown(release, reports))),
        others=tuple(others),
    )


def _accelerators(candidates: Sequence[Run]) -> Iterator[str]:
    """Backends of the accelerators that candidates really ran on; a simulated card is none."""
    yield from dict.fromkeys(
        run.backend for run in candidates if run.backend in _HARDWARE and not provenance.is_simulated(run)
    )


def _task(report: Report) -> str:
    """A task as a tag."""
    tag = report.scenario.task.value.replace("_", "-")
    return tag.replace("-image", "-video") if report.scenario.frames else tag


def _kind(reports: Sequence[Report]) -> str:
    """``text-to-image`` where any case has no input image, else ``image-to-image``; of videos ``text-to-video``."""
    cases = [case for report in reports for case in report.scenario.cases]
    given = "text" if any(case.input_image is None for case in cases) else "image"
    return f"{given}-to-{'video' if all(report.scenario.frames for report in reports) else 'image'}"


def _example(reports: Sequence[Report], candidates: Sequence[Run]) -> str:
    """The scenario's own command, or the script with the shortest prompt that needs no input image."""
    if any(run.plan.noise is NoiseMode.UNVERIFIED for run in candidates):
        command = reports[0].scenario.model.command
        return clean(shlex.join(command.words)) if command else ""
    if reports[0].scenario.frames is not None:
        return ""
    prompts = [case.prompt for report in reports for case in report.scenario.cases if case.input_image is None]
    if not prompts:
        return "python inference.py --help"
    return "python inference.py " + shlex.join(["--prompt", clean(min(prompts, key=len)), "--output_image", "out.png"])


# --- sentences -------------------------------------------------------------------------------------------------------


def _notes(reports: Sequence[Report], candidates: Sequence[Run]) -> Iterator[str]:
    """What a user of the port needs to know: memory, code of the model's own, attention, what was replaced."""
    peaks: dict[str, int] = {}
    for run in candidates:
        if peak := tables.peak_bytes(run):
            name = provenance.name_of(run)
            peaks[name] = max(peaks.get(name, 0), peak)
    for name, peak in peaks.items():
        yield say(
            "{arm}: at most {size} of the device in use while an image was made.", arm=name, size=formats.size(peak)
        )
    models = [report.scenario.model for report in reports]
    if any(model.trust_remote_code for model in models):
        yield say("Loaded with trust_remote_code: the folder of the model has code of its own, which was run.")
    for source in dict.fromkeys(model.source for model in models if names_a_folder(model.source)):
        if not source.startswith("${"):
            yield say(
                "eval/ needs the folder {source}, which its scenarios name relative to their file.", source=source
            )
    yield say("Attention asked for: {names}.", names=formats.names(dict.fromkeys(model.attention for model in models)))
    for report in reports:
        yield from provenance.substitutions(report)


_KINDS = (("cpu", "CPU"), ("cuda", "GPU"))
"""Backends of the references that a porting note is expected to have."""


def _not_shown(release: Release, reports: Sequence[Report]) -> Iterator[str]:
    """What a reader must not conclude: what is missing first, then kinds of references, then the most frequent."""
    for cell in release.missing:
        yield say(
            "{places} is missing: {reason}.",
            places=formats.names(filter(None, (cell.scenario, cell.arm, cell.job))),
            reason=translated(cell.reason),
        )
    compared = {
        comparison.expected.device.partition(":")[0]
        for report in reports
        for comparison in lookup.of_scope(report, Scope.REFERENCE)
    }
    for backend, name in _KINDS:
        if backend not in compared:
            yield say("How the candidate compares with a {name}: no reference was made on one.", name=name)
    yield from overview.few_gaps(reports)


# --- pictures --------------------------------------------------------------------------------------------------------


def pictures(release: Release) -> Iterator[CardPicture]:
    """Both images of the pair with the lowest PSNR, of each two arms that were compared; each image once."""
    lowest: dict[tuple[str, str], tuple[float, Report, Comparison, Pair]] = {}
    for job in release.jobs:
        for comparison in lookup.of_scope(job.report, Scope.REFERENCE):
            arms = comparison.actual.arm, comparison.expected.arm
            for pair in comparison.pairs:
                measured = pair.measurement("psnr_db", "image")
                value = math.inf if measured is None or measured.value is None else measured.value
                if arms not in lowest or value < lowest[arms][0]:
                    lowest[arms] = value, job.report, comparison, pair
    shown = [picture for _, report, comparison, pair in lowest.values() for picture in _both(report, comparison, pair)]
    yield from {picture.file: picture for picture in shown}.values()


def _both(report: Report, comparison: Comparison, pair: Pair) -> Iterator[CardPicture]:
    for side, label in ((comparison.actual, pair.actual), (comparison.expected, pair.expected)):
        run = lookup.run_of(report, side)
        sample = next((one for one in run.samples_of(pair.key) if one.label == label), None) if run else None
        if run and sample:
            number = f"-{part}" if (part := pair.key.image or pair.key.frame) else ""
            place = f"{report.scenario.name}-{pair.key.case}-{pair.key.seed}{number}-{side.arm}"
            title = say("{arm}: {key}", arm=lookup.arm_of(side), key=labels.key(pair.key))
            yield CardPicture(title=clean(title), file=f"assets/{place}.png", run=run.id, path=sample.image.path)
