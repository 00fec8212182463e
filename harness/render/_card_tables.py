"""Tables of the card of a release, each over all its scenarios and as narrow as it can be."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from statistics import median, quantiles
from typing import TYPE_CHECKING

from harness.language import say, translated
from harness.readings import Ladder, ladder
from harness.records import Role, Scope, worst
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render import _performance as speed
from harness.render import _provenance as provenance
from harness.render._document import clean, figure, plain, table, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.readings import Read
    from harness.records import Comparison, Repetition, Report, Run, RunRef, Status
    from harness.render._document import Cell, Table

_OF_REPEATS = ("mse", "max_abs_diff", "mean_abs_diff", "psnr_db")
"""Metrics of the consistency table, in the order of porting notes."""
_OF_REFERENCES = ("psnr_db", "ssim", "mean_abs_diff", "max_abs_diff")
_PACKAGES = ("torch", "torch_npu", "diffusers", "transformers", "accelerate", "numpy")
_DRIVERS = ("cann", "driver")
"""Facts of an environment that a porting note has."""
_QUANTILES = {"p50": 50, "p90": 90, "p95": 95}


def environment(candidates: Sequence[Run]) -> Table:
    """Device, packages and memory; candidates with the same share a column."""
    arms_by_facts: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in candidates:
        arms_by_facts.setdefault(tuple(_facts(run)), []).append(provenance.name_of(run))
    names = list(dict.fromkeys(name for facts in arms_by_facts for name, _ in facts))
    columns = (say("Component"), *(formats.names(dict.fromkeys(arms)) for arms in arms_by_facts.values()))
    rows = [
        [plain(name), *(plain(dict(facts).get(name, say(labels.NONE))) for facts in arms_by_facts)] for name in names
    ]
    return table(columns, rows)


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    made = run.environment
    if made is None:
        return
    yield say("Device"), f"{made.device}, {translated(made.device_name)}"
    yield from ((name.upper(), made.facts[name]) for name in _DRIVERS if name in made.facts)
    yield "Python", made.python
    yield from ((name, made.packages[name]) for name in _PACKAGES if name in made.packages)
    yield say("Memory"), formats.size(made.memory_bytes)


def settings(reports: Sequence[Report]) -> Table:
    """Size, steps, guidance, seeds and type; scenarios with the same share a row."""
    groups: dict[tuple[str, int, str, str, str], list[Report]] = {}
    for report in reports:
        asked = report.scenario
        candidates = [arm.dtype or asked.model.dtype for arm in asked.arms if arm.role is Role.CANDIDATE]
        place = (
            formats.pixels(asked.width, asked.height),
            asked.steps,
            formats.number(asked.guidance_scale),
            formats.names(map(str, provenance.seeds_of(report))),
            formats.names(dict.fromkeys(candidates)),
        )
        groups.setdefault(place, []).append(report)
    columns = (say("Scenario"), say("Size"), say("Steps"), say("Guidance"), say("Seeds"), say("Type"), say("Cases"))
    rows = [
        [
            plain(formats.names(dict.fromkeys(report.scenario.name for report in group))),
            *map(figure, place),
            figure(sum(len(provenance.cases_of(report)) for report in group)),
        ]
        for place, group in groups.items()
    ]
    return table(columns, rows)


# --- accuracy --------------------------------------------------------------------------------------------------------


def repeats(reports: Sequence[Report]) -> Table:
    """The consistency table of a porting note, one column for each arm that was repeated; the worst of all pairs."""
    by_arm: dict[str, list[Comparison]] = {}
    for report in reports:
        for comparison in lookup.of_scope(report, Scope.REPEAT):
            if any(repetition.runs > 1 for repetition in comparison.repetitions):
                by_arm.setdefault(lookup.arm_of(comparison.actual), []).append(comparison)
    keys = [one.key for group in by_arm.values() for comparison in group for one in comparison.repetitions]
    rows: list[list[Cell]] = [
        [plain(say("Outcome")), *(word(_outcome(group)) for group in by_arm.values())],
        [plain(say("Runs of each case and seed")), *(figure(_span(group, _RUNS)) for group in by_arm.values())],
        [plain(say("Processes")), *(figure(_span(group, _PROCESSES)) for group in by_arm.values())],
        [plain(labels.counted_things(keys)), *(figure(_count(group)) for group in by_arm.values())],
        *(
            [plain(labels.metric_name(metric)), *(figure(_worst(group, metric)) for group in by_arm.values())]
            for metric in _OF_REPEATS
        ),
        [plain(say("Failure rate, 95 % upper bound")), *(figure(_bound(group)) for group in by_arm.values())],
    ]
    return table((say("Measure"), *by_arm), rows)


def _outcome(comparisons: Sequence[Comparison]) -> Status:
    return worst([comparison.outcome for comparison in comparisons])


_RUNS = attrgetter("runs")
_PROCESSES = attrgetter("processes")


def _span(comparisons: Sequence[Comparison], amount: Callable[[Repetition], int]) -> str:
    return formats.span(amount(repetition) for comparison in comparisons for repetition in comparison.repetitions)


def _count(comparisons: Sequence[Comparison]) -> int:
    return sum(len(comparison.repetitions) for comparison in comparisons)


def _bound(comparisons: Sequence[Comparison]) -> str:
    bounds = [repetition.bound_95 for comparison in comparisons for repetition in comparison.repetitions]
    return formats.percent(max(bounds, default=1.0))


def _worst(comparisons: Sequence[Comparison], metric: str) -> str:
    """The worst value of a metric of the 8-bit image."""
    pairs = [pair for comparison in comparisons for pair in comparison.pairs]
    lowest = lookup.worst_pair(pairs, metric, "image")
    return formats.measured(lowest[1], unit=True, parts=False) if lowest else say(labels.NOT_MEASURED)


def references(reports: Sequence[Report]) -> Table | None:
    """The worst values of all pairs, one column for each two arms that were compared; None where none were."""
    groups = _against(reports)
    if not groups:
        return None
    rows: list[list[Cell]] = [
        [plain(say("Outcome")), *(word(_outcome(group)) for _, group in groups.values())],
        [plain(say("Devices")), *(plain(devices) for devices, _ in groups.values())],
        [plain(say("Pairs")), *(figure(sum(len(one.pairs) for one in group)) for _, group in groups.values())],
        *(
            [plain(labels.metric_name(metric)), *(figure(_worst(group, metric)) for _, group in groups.values())]
            for metric in _OF_REFERENCES
        ),
    ]
    return table((say("Worst of all pairs"), *groups), rows)


def _against(reports: Sequence[Report]) -> dict[str, tuple[str, list[Comparison]]]:
    """Devices and comparisons of each two arms, by the arms' names."""
    groups: dict[str, tuple[str, list[Comparison]]] = {}
    for report in reports:
        for comparison in lookup.of_scope(report, Scope.REFERENCE):
            sides = [lookup.device_of(report, side) for side in (comparison.actual, comparison.expected)]
            devices = lookup.against(*sides)
            groups.setdefault(lookup.name_of(comparison), (devices, []))[1].append(comparison)
    return groups


@dataclass(frozen=True, kw_only=True)
class ReadingsOfArms:
    """Every reading of "within 1 %", over all scenarios, of each two arms with the same counts."""

    title: str
    sentence: str
    """How many readings are passed, and how many of these another seed's noise would pass."""
    tables: tuple[Table, ...]
    """The values, of each two arms; empty where all are zero, and where there is no room."""


def ladders(reports: Sequence[Report], *, whole: int) -> tuple[ReadingsOfArms, ...]:
    """Readings of each two arms; the ``whole`` ones of which the fewest readings are passed have their values."""
    read = {
        name: found
        for name, (_, comparisons) in _against(reports).items()
        if (found := _ladder([comparison for comparison in comparisons if not comparison.differences]))
    }
    differing = [name for name, found in read.items() if any(one.worst for one in found.readings)]
    shown = sorted(differing, key=lambda name: read[name].passed)[:whole]
    titles: dict[tuple[str, bool], list[str]] = {}
    for name, found in read.items():
        titles.setdefault((found.sentence, name in shown), []).append(name)
    return tuple(
        ReadingsOfArms(
            title=clean(formats.clauses(names)),
            sentence=clean(formats.sentence(translated(sentence))),
            tables=tuple(_readings(read[name]) for name in names if whole_table),
        )
        for (sentence, whole_table), names in titles.items()
    )


def _ladder(comparisons: Sequence[Comparison]) -> Ladder | None:
    """Readings over the pairs of several comparisons of the same arms."""
    if not comparisons:
        return None
    pairs = [pair for comparison in comparisons for pair in comparison.pairs]
    other_noise = [pair for comparison in comparisons for pair in comparison.other_noise]
    return ladder(comparisons[0].model_copy(update={"pairs": pairs, "other_noise": other_noise}))


def _readings(found: Ladder) -> Table:
    """One row for each formula, one column for each subject."""
    by_formula: dict[str, dict[str, Read]] = {}
    for read in found.readings:
        by_formula.setdefault(read.reading.formula, {})[read.reading.subject] = read
    subjects = dict.fromkeys(read.reading.subject for read in found.readings)
    columns = (say("Reading"), *(labels.subject(subject) for subject in subjects))
    rows = [
        [plain(say(formula)), *(figure(_values(reads.get(subject))) for subject in subjects)]
        for formula, reads in by_formula.items()
    ]
    return table(columns, rows)


def _values(read: Read | None) -> str:
    if read is None:
        return say(labels.NONE)  # this reading is not taken of this subject
    text = formats.with_remark(
        formats.per_cent(read.worst), formats.per_cent(min(read.other_noise)) if read.other_noise else ""
    )
    return f"✓ {text}" if read.passed else text


# --- memory and time -------------------------------------------------------------------------------------------------


def allocation(candidates: Sequence[Run]) -> Table:
    """Memory of each component after loading, by candidate; the largest of any run."""
    used: dict[str, dict[str, int]] = {}
    for run in candidates:
        by_component = used.setdefault(provenance.name_of(run), {})
        for name, use in (run.loaded.memory if run.loaded else {}).items():
            by_component[name] = max(by_component.get(name, 0), use.allocated_bytes)
    components = dict.fromkeys(name for by_component in used.values() for name in by_component)
    rows = [
        [
            plain(say("whole device") if component == speed.DEVICE else component),
            *(
                figure(formats.size(sizes[component]) if component in sizes else say(labels.NOT_MEASURED))
                for sizes in used.values()
            ),
        ]
        for component in components
    ]
    return table((say("Allocated after loading"), *used), rows)


def peak_bytes(run: Run) -> int | None:
    """Largest memory of the whole device in any call, where it was measured."""
    uses = [sample.memory[speed.DEVICE] for sample in run.samples if speed.DEVICE in sample.memory]
    return max((use.peak_bytes for use in uses if use.peak_bytes is not None), default=None)


def performance(reports: Sequence[Report]) -> Table:
    """Time of a whole image by arm, size and steps, over all scenarios, with its ratio to the references'."""
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for report in reports:
        for run in report.runs:
            size = provenance.sizes_of(report)
            groups.setdefault((provenance.name_of(run), size, run.plan.steps), []).append(run)
    ratios = _ratios(reports)
    columns = (
        say("Arm"),
        say("Size, steps"),
        *_QUANTILES,
        say("Steps per second"),
        say("Loading"),
        say("Images"),
        say("Time against the reference's"),
    )
    rows = [
        [
            plain(name),
            plain(formats.names((size, str(steps)))),
            *_figures(runs),
            plain(formats.names(ratios.get(name, ())) or say("is a reference")),
        ]
        for (name, size, steps), runs in groups.items()
    ]
    return table(columns, rows)


def _figures(runs: Sequence[Run]) -> list[Cell]:
    seconds = _seconds(runs)
    loading = [run.loaded.seconds for run in runs if run.loaded]
    rates = [run.plan.steps / value for run in runs if (value := speed.median_seconds(run, speed.DENOISING))]
    not_measured = say(labels.NOT_MEASURED)
    return [
        *(figure(_quantile(seconds, share)) for share in _QUANTILES.values()),
        figure(formats.number(median(rates)) if rates else not_measured),
        figure(formats.seconds(max(loading)) if loading else not_measured),
        figure(len(seconds)),
    ]


def _seconds(runs: Sequence[Run]) -> list[float]:
    return sorted(sample.seconds["total"] for run in runs for sample in run.samples if "total" in sample.seconds)


def _quantile(seconds: Sequence[float], share: int) -> str:
    """The value that so many per cent of the sorted values do not exceed."""
    if not seconds:
        return say(labels.NOT_MEASURED)
    if len(seconds) == 1:
        return formats.seconds(seconds[0])
    return formats.seconds(quantiles(seconds, n=100, method="inclusive")[share - 1])


def _ratios(reports: Sequence[Report]) -> dict[str, list[str]]:
    """For each arm that was compared, its median time over that of each reference, over the scenarios of both."""
    sides: dict[tuple[str, str], tuple[list[Run], list[Run]]] = {}
    for report in reports:
        for comparison in lookup.of_scope(report, Scope.REFERENCE):
            runs = [lookup.run_of(report, side) for side in (comparison.actual, comparison.expected)]
            if runs[0] and runs[1]:
                names = _names(comparison.actual, comparison.expected)
                both = sides.setdefault(names, ([], []))
                both[0].append(runs[0])
                both[1].append(runs[1])
    texts: dict[str, list[str]] = {}
    for (actual, expected), (ours, theirs) in sides.items():
        if _seconds(ours) and _seconds(theirs):
            ratio = median(_seconds(ours)) / median(_seconds(theirs))
            texts.setdefault(actual, []).append(say("{ratio} times {arm}", ratio=formats.number(ratio), arm=expected))
    return texts


def _names(actual: RunRef, expected: RunRef) -> tuple[str, str]:
    return lookup.arm_of(actual), lookup.arm_of(expected)
