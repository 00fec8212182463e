"""Rows of the tables about memory and time."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from harness.language import say
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Cell, Table, code, figure, plain, table
from harness.render._format import capital, pixels, running
from harness.render._labels import UNKNOWN, term
from harness.render._provenance import by_arm, is_simulated, name_of

if TYPE_CHECKING:
    from harness.records import Plan, Report, Run, Sample

DENOISING = "denoising"
"""The stage in which the denoising steps are made."""
_CPU = "cpu"
DEVICE = "device"
"""Name under which records keep the memory of the whole device."""


def allocation(report: Report) -> Table:
    """Where each component lies and how much memory it takes, in the adapter's own order of components."""
    rows = [row for run in report.runs for row in _allocation(run)]
    columns = (say("Arm"), say("Component"), say("Device"), say("Allocated after loading"))
    if not any(run.loaded and run.loaded.components for run in report.runs):
        return table((*columns, say("Peak while generating")), rows)
    notes = [
        say(
            "Devices report one global peak: the last column is the whole device's in the stages in which the "
            "component works, and in its own row that of whole calls."
        )
    ]
    if any(run.backend == _CPU for run in report.runs):
        notes.append(say("On a CPU the whole device is the worker process."))
    return table((*columns, say("Largest peak of the whole device while it works")), rows, note=running(notes))


def _allocation(run: Run) -> list[list[Cell]]:
    loaded = run.loaded.memory if run.loaded else {}
    names = dict.fromkeys([*loaded, *(name for sample in run.samples for name in sample.memory)])
    return [
        [
            code(name_of(run)),
            plain(say("whole device") if name == DEVICE else name),
            _component_device(run, name),
            figure(formats.size(loaded[name].allocated_bytes) if name in loaded else say(labels.NOT_MEASURED)),
            figure(_peak(run, name)),
        ]
        for name in names
    ]


def _component_device(run: Run, name: str) -> Cell:
    use = run.loaded.memory.get(name) if run.loaded else None
    whole = run.environment.device if run.environment else None
    device = use.device if use and use.device else whole if name == DEVICE else None
    if device is None:
        return plain(say(UNKNOWN))
    return plain(formats.with_mark(device, simulated=True)) if is_simulated(run) and device == whole else code(device)


def _peak(run: Run, name: str) -> str:
    """Largest peak of the whole device: of a whole call, or of the stages in which a component works."""
    uses = [sample.memory[name] for sample in run.samples if name in sample.memory]
    peaks = [use.peak_bytes for use in uses if use.peak_bytes is not None]
    if name != DEVICE:
        stages = _stage_peaks(run)
        worked = run.loaded.components.items() if run.loaded else ()
        peaks += [max(stages[stage]) for stage, component in worked if component == name and stage in stages]
    return formats.size(max(peaks)) if peaks else say(labels.NOT_MEASURED)


def _stage_peaks(run: Run) -> dict[str, list[int]]:
    """Peaks of the whole device by stage, of every sample that has one; none where a peak is not that of its stage.

    Records from before fused operators were asked about have the peak since the call began.
    """
    peaks: dict[str, list[int]] = {}
    if run.environment is None or run.environment.npu_ops is None:
        return peaks
    for sample in run.samples:
        for stage, use in sample.stage_memory.items():
            if use.peak_bytes is not None:
                peaks.setdefault(stage, []).append(use.peak_bytes)
    return peaks


def performance(report: Report) -> Table:
    """What was made, load time, time and memory of each stage, and denoising steps per second."""
    return by_arm(report, [_performance(run) for run in report.runs], heading=say("Time"))


def _performance(run: Run) -> dict[str, Cell]:
    stages = list(dict.fromkeys(stage for sample in run.samples for stage in sample.seconds if stage != "total"))
    medians = {stage: median_seconds(run, stage) for stage in [*stages, "total"]}
    denoising = medians.get(DENOISING)
    peaks = _stage_peaks(run)
    return {
        say("Size of the pictures"): figure(_sizes(run)),
        say("Denoising steps"): figure(run.plan.steps),
        say("Loading the model"): figure(
            formats.seconds(run.loaded.seconds) if run.loaded else say(labels.NOT_MEASURED)
        ),
        **{
            _median_of(stage, run.plan): figure(say(labels.NOT_MEASURED) if value is None else formats.seconds(value))
            for stage, value in medians.items()
        },
        **{
            say("Peak of the whole device in {stage}, largest", stage=term(stage)): figure(
                formats.size(max(peaks[stage]))
            )
            for stage in stages
            if stage in peaks
        },
        **{
            say("Memory of the whole device after {stage}, largest", stage=term(stage)): figure(formats.size(max(uses)))
            for stage, uses in _stage_uses(run, stages).items()
        },
        say("Denoising steps per second (denoising alone)"): figure(
            f"{run.plan.steps / denoising:.3g}" if denoising else say(labels.NOT_MEASURED)
        ),
        _medians_over(run): figure(len(_calls(run))),
    }


def _medians_over(run: Run) -> str:
    if run.plan.samples_per_call > 1 or run.plan.frames:
        return say("Calls the medians are over")
    return say("Pictures the medians are over")


def _calls(run: Run) -> list[Sample]:
    """The first sample of each call: the images of one call have its times in common."""
    firsts = {(sample.key.call, sample.process, sample.repeat): sample for sample in reversed(run.samples)}
    return list(firsts.values())


def _median_of(stage: str, plan: Plan) -> str:
    if stage == "total" and plan.frames:
        return say("Whole video of {count} frames, median", count=plan.frames.count)
    if stage == "total" and plan.samples_per_call > 1:
        counts = sorted({plan.pictures_of(case) for case in plan.cases})
        return say("Whole call of {count} pictures, median", count=", ".join(map(str, counts)))
    if stage == "total":
        return say("Whole picture, median")
    return say("{stage}, median", stage=capital(term(stage)))


def _sizes(run: Run) -> str:
    """Width and height of what was made, as the pictures' own shapes say."""
    sizes = sorted({(sample.image.shape[1], sample.image.shape[0]) for sample in run.samples})
    return ", ".join(pixels(*size) for size in sizes) or say(labels.NOT_MEASURED)


def _stage_uses(run: Run, stages: list[str]) -> dict[str, list[int]]:
    """Bytes of the whole device at the end of each stage, of every sample that has it."""
    uses: dict[str, list[int]] = {}
    for sample in run.samples:
        for stage in (known for known in stages if known in sample.stage_memory):
            uses.setdefault(stage, []).append(sample.stage_memory[stage].allocated_bytes)
    return uses


def median_seconds(run: Run, stage: str) -> float | None:
    """Median time of a stage over all calls that have it."""
    seconds = [sample.seconds[stage] for sample in _calls(run) if stage in sample.seconds]
    return median(seconds) if seconds else None
