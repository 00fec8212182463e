"""Rows of the tables about how the numbers came about: work, model, environment, memory and time."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from harness.language import many, marked, say, translated
from harness.records import DrawnFrom, NoiseMode, NpuOps
from harness.render import _words as words
from harness.render._document import Cell, Table, code, digest, figure, plain, quote, table
from harness.render._phrases import running, term

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records import Case, Failure, ModelIdentity, Report, Run, Switch

_UNKNOWN = marked("not known")
_DENOISING = "denoising"
_CPU = "cpu"
_DEVICE = "device"
"""Name under which records keep the memory of the whole device."""


def cases_of(report: Report) -> list[Case]:
    """Cases that were to be made by any arm, each once, in the scenario's order; without runs, the scenario's."""
    found = {case.id: case for run in report.runs for case in run.plan.cases}
    return list(found.values()) or list(report.scenario.cases)


def seeds_of(report: Report) -> list[int]:
    """Seeds that were to be used by any arm; without runs, the scenario's."""
    return list(dict.fromkeys(seed for run in report.runs for seed in run.plan.seeds)) or list(report.scenario.seeds)


def arms(report: Report) -> list[str]:
    """Names of all arms that have a run, each with a mark where its device is simulated."""
    return [name_of(run) for run in report.runs]


def name_of(run: Run) -> str:
    """Name of the run's arm, with a mark where its device is simulated."""
    return words.with_mark(run.plan.arm.name, simulated=_simulated(run))


def _simulated(run: Run) -> bool:
    return bool(run.environment and run.environment.simulated)


def by_arm(report: Report, facts: Sequence[Mapping[str, Cell]], *, heading: str, title: str = "") -> Table:
    """One row for each name, one column for each arm; one column in all when no arm differs from another."""
    names = list(dict.fromkeys(name for each in facts for name in each))
    same = len(facts) > 1 and all(each == facts[0] for each in facts)
    columns = [say("All arms")] if same else arms(report)
    shown = facts[:1] if same else facts
    rows = [[plain(name), *(each.get(name, _missing(name, facts)) for each in shown)] for name in names]
    return table((heading, *columns), rows, title=title)


def _missing(name: str, facts: Sequence[Mapping[str, Cell]]) -> Cell:
    """What stands where an arm does not say what another says; among numbers it is set like one."""
    numeric = any(name in each and each[name].kind == "number" for each in facts)
    return figure(say(_UNKNOWN)) if numeric else plain(say(_UNKNOWN))


# --- work ------------------------------------------------------------------------------------------------------------


def prompts(report: Report) -> Table:
    """Every case word for word."""
    default = say("the pipeline's own default")
    rows = [
        [
            code(case.id),
            quote(case.prompt),
            plain(default) if case.negative_prompt is None else quote(case.negative_prompt or say("(empty)")),
            code(case.input_image) if case.input_image else plain(say("none: made from the prompt alone")),
        ]
        for case in cases_of(report)
    ]
    columns = (say("Case"), say("Prompt"), say("Negative prompt"), say("Input picture"))
    return table(columns, rows, title=say("Prompts"))


def settings(report: Report) -> Table:
    """What all arms have in common."""
    scenario, repeats = report.scenario, report.scenario.repeats
    rows = {
        say("Scenario"): code(scenario.name),
        say("Task"): plain(term(scenario.task)),
        say("Seeds"): figure(", ".join(map(str, seeds_of(report)))),
        say("Size"): figure(_pixels(scenario.width, scenario.height)),
        say("Denoising steps"): figure(scenario.steps),
        say("Guidance scale"): figure(words.number(scenario.guidance_scale)),
        say("Repeats"): plain(
            many(
                "{repeats} in each of {count} fresh process",
                "{repeats} in each of {count} fresh processes",
                repeats.processes,
                repeats=repeats.in_process,
            )
        ),
    }
    return table(
        (say("Setting"), say("Value")), [[plain(name), cell] for name, cell in rows.items()], title=say("Settings")
    )


def _pixels(width: int, height: int) -> str:
    return say("{width} x {height} pixels", width=width, height=height)


def work(report: Report) -> Table:
    """What each arm was to do and did."""
    answers = {run.environment.npu_ops for run in report.runs if run.environment}
    asked = bool(answers - {None, NpuOps.ABSENT})
    beside = any(run.side_by_side > 1 for run in report.runs)
    bypassed = any(_passing_over(run) for run in report.runs)
    columns = [_work(run, operators=asked, beside=beside, bypassed=bypassed) for run in report.runs]
    return by_arm(report, columns, heading=say("Arm"), title=say("Arms"))


def own(run: Run) -> Cell | None:
    """Said in the place of a setting that only those who made the pictures know; None where the worker made them."""
    if run.plan.noise is not NoiseMode.UNVERIFIED:
        return None
    command = run.plan.model.command is not None
    return plain(say("the command's own, not known") if command else say("not known: the pictures were made elsewhere"))


def _work(run: Run, *, operators: bool, beside: bool, bypassed: bool) -> dict[str, Cell]:
    arm, plan = run.plan.arm, run.plan
    planned = len(plan.keys) * plan.repeats.in_process * plan.repeats.processes
    hidden = sum(bool(sample.hidden_draws) for sample in run.samples)
    seen = marked("none seen") if run.samples and plan.noise is not NoiseMode.UNVERIFIED else words.NOT_MEASURED
    made = say("{made} of {planned} planned", made=len(run.samples), planned=planned)
    return {
        say("Role"): plain(term(arm.role)),
        say("Device asked for"): code(arm.device),
        say("Type of weights"): own(run) or code(arm.dtype or plan.model.dtype),
        say("Noise"): plain(term(plan.noise) if arm.noise else say(_UNKNOWN)),
        say("Switches"): own(run) or plain(term(arm.switches) if arm.switches else say(_UNKNOWN)),
        **({say("Fused operators of torch_npu"): plain(_operators(run))} if operators else {}),
        say("Pictures made"): figure(say("an accepted baseline") if arm.baseline else made),
        say("Uncontrolled random draws"): plain(
            many("in {count} picture", "in {count} pictures", hidden) if hidden else say(seen)
        ),
        **({say("Draws that pass over the given generator"): plain(_generators(run))} if bypassed else {}),
        say("Failures"): figure(len(run.failures)),
        say("State"): plain(term(run.state)),
        say("Started (UTC)"): plain(run.started_utc),
        say("Wall time"): figure(words.seconds(run.seconds)),
        **({say("Processes at the same time"): figure(run.side_by_side)} if beside else {}),
        say("Run"): code(run.id),
    }


def drew_from(run: Run, origin: DrawnFrom) -> int:
    """Number of pictures with a draw from such a generator; 0 where the pipeline was given none."""
    return sum(any(draw.drawn_from is origin for draw in sample.draws) for sample in run.samples)


def _passing_over(run: Run) -> bool:
    return bool(drew_from(run, DrawnFrom.GLOBAL) or drew_from(run, DrawnFrom.OTHER))


def _generators(run: Run) -> str:
    """From which generators a pipeline drew that was given one, as a fact: a Brownian tree makes its own."""
    from_global, from_other = drew_from(run, DrawnFrom.GLOBAL), drew_from(run, DrawnFrom.OTHER)
    shared = many("the global one in {count} picture", "the global one in {count} pictures", from_global)
    own = many("its own ones in {count} picture", "its own ones in {count} pictures", from_other)
    if from_global and from_other:
        return say("{first}; {second}", first=shared, second=own)
    if from_global or from_other:
        return shared if from_global else own
    return say(marked("none seen") if drew_from(run, DrawnFrom.GIVEN) else _UNKNOWN)


def _operators(run: Run) -> str:
    answered = run.environment.npu_ops if run.environment else None
    if answered is None:
        return say(_UNKNOWN)
    return words.with_mark(say(words.NPU_OPS[answered]), simulated=_simulated(run))


# --- model -----------------------------------------------------------------------------------------------------------


def model(report: Report) -> Table:
    """What was loaded, by arm."""
    return by_arm(report, [_model(run) for run in report.runs], heading=say("Model"))


def _model(run: Run) -> dict[str, Cell]:
    asked, found = run.plan.model, run.model
    return {
        say("Source"): code(found.source),
        say("Revision"): code(found.revision) if found.revision else plain(say("none: not from a hub")),
        **_files(found),
        say("Weights"): own(run) or figure(words.size(found.weights_bytes)),
        say("Adapter"): code(asked.adapter),
        say("Type of weights"): own(run) or code(run.plan.arm.dtype or asked.dtype),
        say("Attention"): own(run) or _attention(run),
        say("Code of the model folder may run (trust_remote_code)"): plain(_yes_or_no(asked.trust_remote_code)),
        say("Code pinned by digest"): plain(_yes_or_no(bool(asked.code_sha256))),
        say("Digest of the harness's code"): digest(run.code_digest),
        **{say("Code {name}", name=name): Cell(value, kind="code") for name, value in sorted(found.code.items())},
    }


def _attention(run: Run) -> Cell:
    asked = run.plan.model.attention
    if run.loaded and run.loaded.substitutions:
        return plain(say("asked for: {name}; see below what was replaced", name=asked))
    return code(asked)


def _files(found: ModelIdentity) -> dict[str, Cell]:
    """What a model is by its files; records from before those were told apart know one digest over all."""
    if found.loaded is None:
        return {say("Digest of all files"): Cell(found.digest, kind="code")}
    return {
        say("Digest of what is loaded"): Cell(found.loaded, kind="code"),
        say("Files beside it, which workers do not get"): plain(", ".join(found.other_files) or words.NONE),
    }


def _yes_or_no(answer: bool) -> str:  # noqa: FBT001  # the answer is all there is
    return say("yes") if answer else say("no")


def notes(report: Report) -> list[str]:
    """What the adapter said about the loaded pipelines, each once."""
    return list(dict.fromkeys(translated(note) for run in report.runs if run.loaded for note in run.loaded.notes))


def replaced(run: Run) -> list[str]:
    """What was asked of an arm and replaced or without effect, each once."""
    loaded = run.loaded.substitutions if run.loaded else []
    return list(dict.fromkeys([*loaded, *(text for sample in run.samples for text in sample.without_effect)]))


def substitutions(report: Report) -> list[str]:
    """What was asked for and replaced, each once, with the arms it holds for."""
    found: dict[str, list[str]] = {}
    for run in report.runs:
        for text in replaced(run):
            found.setdefault(text, []).append(run.plan.arm.name)
    return [say("{arms}: {text}", arms=", ".join(names), text=translated(text)) for text, names in found.items()]


# --- environment -----------------------------------------------------------------------------------------------------


def environment(report: Report) -> Table:
    """Machine, device and packages, by arm."""
    return by_arm(report, [_environment(run) for run in report.runs], heading=say("Environment"))


def _environment(run: Run) -> dict[str, Cell]:
    found = run.environment
    if found is None:
        return {say("Device"): plain(say("not known: no worker came far enough to say"))}
    return {
        say("Device"): code(found.device),
        say("Product"): plain(translated(found.device_name)),
        say("Simulated"): plain(say("YES: a stand-in library plays the device") if found.simulated else say("no")),
        say("Backend"): code(found.backend),
        **{_capital(translated(name).replace("_", " ")): plain(value) for name, value in sorted(found.facts.items())},
        "Python": plain(found.python),
        **{name: plain(value) for name, value in sorted(found.packages.items())},
        say("Operating system"): plain(found.os),
        say("Processor"): plain(found.cpu),
        say("Processors in use"): figure(found.cpu_count),
        say("Memory"): figure(words.size(found.memory_bytes)),
        say("Commit"): code(found.commit) if found.commit else plain(say("not a git folder")),
    }


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def switches(report: Report) -> Table:
    """Every setting that bears on the numbers, with what was asked for, what was in force, and who set it."""
    found: dict[Switch, list[str]] = {}
    for run in report.runs:
        for switch in run.environment.switches if run.environment else []:
            found.setdefault(switch, []).append(run.plan.arm.name)
    rows = [
        [
            code(switch.name),
            plain(say("nothing")) if switch.requested is None else code(switch.requested or say("(empty)")),
            plain(say("unset")) if switch.effective is None else code(switch.effective or say("(empty)")),
            plain(term(switch.source)),
            plain(say("all") if len(names) == len(report.runs) else ", ".join(names)),
        ]
        for switch, names in sorted(found.items(), key=lambda each: (each[0].name, each[1]))
    ]
    columns = (say("Switch"), say("Requested"), say("In force"), say("Set by"), say("Arms"))
    return table(columns, rows, title=say("Switches"), fold=True)


# --- memory and time -------------------------------------------------------------------------------------------------


def allocation(report: Report) -> Table:
    """Where each component lies and how much memory it takes, in the adapter's own order of components."""
    rows = [row for run in report.runs for row in _allocation(run)]
    columns = (say("Arm"), say("Component"), say("Device"), say("Allocated after loading"))
    if not any(run.loaded and run.loaded.components for run in report.runs):
        return table((*columns, say("Peak while generating")), rows)
    notes = [
        say(
            "No device tells whose a peak is: the last column is the whole device's in the stages in which the "
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
            plain(say("whole device") if name == _DEVICE else name),
            _component_device(run, name),
            figure(words.size(loaded[name].allocated_bytes) if name in loaded else say(words.NOT_MEASURED)),
            figure(_peak(run, name)),
        ]
        for name in names
    ]


def _component_device(run: Run, name: str) -> Cell:
    use = run.loaded.memory.get(name) if run.loaded else None
    whole = run.environment.device if run.environment else None
    found = use.device if use and use.device else whole if name == _DEVICE else None
    if found is None:
        return plain(say(_UNKNOWN))
    return plain(words.with_mark(found, simulated=True)) if _simulated(run) and found == whole else code(found)


def _peak(run: Run, name: str) -> str:
    """Largest peak of the whole device: of a whole call, or of the stages in which a component works."""
    uses = [sample.memory[name] for sample in run.samples if name in sample.memory]
    peaks = [use.peak_bytes for use in uses if use.peak_bytes is not None]
    if name != _DEVICE:
        stages = _stage_peaks(run)
        worked = run.loaded.components.items() if run.loaded else ()
        peaks += [max(stages[stage]) for stage, component in worked if component == name and stage in stages]
    return words.size(max(peaks)) if peaks else say(words.NOT_MEASURED)


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
    denoising = medians.get(_DENOISING)
    peaks = _stage_peaks(run)
    return {
        say("Size of the pictures"): figure(_sizes(run)),
        say("Denoising steps"): figure(run.plan.steps),
        say("Loading the model"): figure(words.seconds(run.loaded.seconds) if run.loaded else say(words.NOT_MEASURED)),
        **{
            _median_of(stage): figure(say(words.NOT_MEASURED) if value is None else words.seconds(value))
            for stage, value in medians.items()
        },
        **{
            say("Peak of the whole device in {stage}, largest", stage=term(stage)): figure(
                words.size(max(peaks[stage]))
            )
            for stage in stages
            if stage in peaks
        },
        **{
            say("Memory of the whole device after {stage}, largest", stage=term(stage)): figure(words.size(max(uses)))
            for stage, uses in _stage_uses(run, stages).items()
        },
        say("Denoising steps per second (denoising alone)"): figure(
            f"{run.plan.steps / denoising:.3g}" if denoising else say(words.NOT_MEASURED)
        ),
        say("Pictures the medians are over"): figure(len(run.samples)),
    }


def _median_of(stage: str) -> str:
    if stage == "total":
        return say("Whole picture, median")
    return say("{stage}, median", stage=_capital(term(stage)))


def _sizes(run: Run) -> str:
    """Width and height of what was made, as the pictures' own shapes say."""
    sizes = sorted({(sample.image.shape[1], sample.image.shape[0]) for sample in run.samples})
    return ", ".join(_pixels(*size) for size in sizes) or say(words.NOT_MEASURED)


def _stage_uses(run: Run, stages: list[str]) -> dict[str, list[int]]:
    """Bytes of the whole device at the end of each stage, of every sample that has it."""
    uses: dict[str, list[int]] = {}
    for sample in run.samples:
        for stage in (each for each in stages if each in sample.stage_memory):
            uses.setdefault(stage, []).append(sample.stage_memory[stage].allocated_bytes)
    return uses


def median_seconds(run: Run, stage: str) -> float | None:
    """Median time of a stage over all samples that have it."""
    found = [sample.seconds[stage] for sample in run.samples if stage in sample.seconds]
    return median(found) if found else None


# --- failures --------------------------------------------------------------------------------------------------------


def failures_of(report: Report) -> list[tuple[str, Failure]]:
    """Every failure with its arm, each once; those of a comparison whose run is not in the report come last."""
    found = [(run.plan.arm.name, failure) for run in report.runs for failure in run.failures]
    known = [failure for _, failure in found]
    for comparison in report.comparisons:
        for failure in comparison.failures:
            if failure not in known:
                known.append(failure)
                found.append((comparison.actual.arm, failure))
    return found


def retried(report: Report) -> list[tuple[str, Failure]]:
    """Failures of the machine, each with its arm, after which a new process took over."""
    return [(run.plan.arm.name, failure) for run in report.runs for failure in run.retried]


def failures(found: Sequence[tuple[str, Failure]]) -> Table:
    """One row for each failure."""
    rows = [
        [
            code(arm),
            plain(term(failure.stage)),
            plain(failure.key or say("not in a picture")),
            figure(failure.process),
            figure(words.NONE if failure.repeat is None else failure.repeat),
            code(failure.error),
            plain(translated(failure.message)),
        ]
        for arm, failure in found
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
