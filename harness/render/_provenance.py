"""Rows of the tables about how the numbers came about: work, model and environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.language import many, marked, say, translated
from harness.records import DrawnFrom, NoiseMode, NpuOps
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Cell, Table, code, digest, figure, plain, quote, table
from harness.render._format import capital, pixels
from harness.render._labels import UNKNOWN, term

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from harness.records import Case, ModelIdentity, Report, Run, Switch


def cases_of(report: Report) -> list[Case]:
    """Cases that were to be made by any arm, each once, in the scenario's order; without runs, the scenario's."""
    cases = {case.id: case for run in report.runs for case in run.plan.cases}
    return list(cases.values()) or list(report.scenario.cases)


def distinct_sizes(report: Report) -> list[tuple[int, int]]:
    """Width and height of the pictures, each size once."""
    return list(dict.fromkeys(report.scenario.size_of(case) for case in cases_of(report)))


def sizes_of(report: Report) -> str:
    """The same in words."""
    return ", ".join(pixels(width, height) for width, height in distinct_sizes(report))


def seeds_of(report: Report) -> list[int]:
    """Seeds that were to be used by any arm; without runs, the scenario's."""
    return list(dict.fromkeys(seed for run in report.runs for seed in run.plan.seeds)) or list(report.scenario.seeds)


def arms(report: Report) -> list[str]:
    """Names of all arms that have a run, each with a mark where its device is simulated."""
    return [name_of(run) for run in report.runs]


def name_of(run: Run) -> str:
    """Name of the run's arm, with a mark where its device is simulated."""
    return formats.with_mark(run.plan.arm.name, simulated=is_simulated(run))


def is_simulated(run: Run) -> bool:
    return bool(run.environment and run.environment.simulated)


def by_arm(report: Report, facts: Sequence[Mapping[str, Cell]], *, heading: str, title: str = "") -> Table:
    """One row for each name, one column for each arm; one column in all when no arm differs from another."""
    names = list(dict.fromkeys(name for facts_of_arm in facts for name in facts_of_arm))
    same = len(facts) > 1 and all(facts_of_arm == facts[0] for facts_of_arm in facts)
    columns = [say("All arms")] if same else arms(report)
    shown = facts[:1] if same else facts
    rows = [[plain(name), *(facts_of_arm.get(name, _missing(name, facts)) for facts_of_arm in shown)] for name in names]
    return table((heading, *columns), rows, title=title)


def _missing(name: str, facts: Sequence[Mapping[str, Cell]]) -> Cell:
    """What stands where an arm does not say what another says; among numbers it is set like one."""
    numeric = any(name in facts_of_arm and facts_of_arm[name].kind == "number" for facts_of_arm in facts)
    return figure(say(UNKNOWN)) if numeric else plain(say(UNKNOWN))


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
    counts = list(dict.fromkeys(map(scenario.pictures_of, cases_of(report))))
    rows = {
        say("Scenario"): code(scenario.name),
        say("Task"): plain(term(scenario.task)),
        say("Seeds"): figure(", ".join(map(str, seeds_of(report)))),
        **({say("Images of each call"): figure(", ".join(map(str, counts)))} if counts != [1] else {}),
        **({say("Frames of each video"): figure(videos.count)} if (videos := scenario.frames) else {}),
        say("Size"): figure(sizes_of(report)),
        say("Denoising steps"): figure(scenario.steps),
        say("Guidance scale"): figure(formats.number(scenario.guidance_scale)),
        **_arguments("", scenario.arguments),
        **{name: cell for case in cases_of(report) for name, cell in _arguments(case.id, case.arguments).items()},
        **{name: cell for arm in scenario.arms for name, cell in _arguments(arm.name, arm.arguments).items()},
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


def _arguments(owner: str, arguments: Mapping[str, JsonValue]) -> dict[str, Cell]:
    """Arguments of the call that a scenario, a case or an arm asks for, as JSON; nothing where there are none."""
    if not arguments:
        return {}
    name = say("Arguments of the call, {owner}", owner=owner) if owner else say("Arguments of the call")
    return {name: code(json.dumps(arguments, sort_keys=True, ensure_ascii=False))}


def work(report: Report) -> Table:
    """What each arm was to do and did."""
    answers = {run.environment.npu_ops for run in report.runs if run.environment}
    asked = bool(answers - {None, NpuOps.ABSENT})
    beside = any(run.side_by_side > 1 for run in report.runs)
    bypassed = any(_passing_over(run) for run in report.runs)
    own_ways = any(run.plan.arm.environment or run.plan.arm.python for run in report.runs)
    columns = [
        _work(run, operators=asked, beside=beside, bypassed=bypassed) | (_own_ways(run) if own_ways else {})
        for run in report.runs
    ]
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
    seen = marked("none seen") if run.samples and plan.noise is not NoiseMode.UNVERIFIED else labels.NOT_MEASURED
    made = say("{made} of {planned} planned", made=len(run.samples), planned=planned)
    return {
        say("Role"): plain(term(arm.role)),
        say("Device asked for"): code(arm.device),
        say("Type of weights"): own(run) or code(arm.dtype or plan.model.dtype),
        say("Noise"): plain(term(plan.noise) if arm.noise else say(UNKNOWN)),
        say("Switches"): own(run) or plain(term(arm.switches) if arm.switches else say(UNKNOWN)),
        **({say("Fused operators of torch_npu"): plain(_operators(run))} if operators else {}),
        say("Pictures made"): figure(say("an accepted baseline") if arm.baseline else made),
        say("Uncontrolled random draws"): plain(
            many("in {count} picture", "in {count} pictures", hidden) if hidden else say(seen)
        ),
        **({say("Draws that pass over the given generator"): plain(_generators(run))} if bypassed else {}),
        say("Failures"): figure(len(run.failures)),
        say("State"): plain(term(run.state)),
        say("Started (UTC)"): plain(run.started_utc),
        say("Wall time"): figure(formats.seconds(run.seconds)),
        **({say("Processes at the same time"): figure(run.side_by_side)} if beside else {}),
        say("Run"): code(run.id),
    }


def _own_ways(run: Run) -> dict[str, Cell]:
    """Interpreter and variables of an arm."""
    arm = run.plan.arm
    variables = " ".join(f"{name}={value}" for name, value in sorted(arm.environment.items()))
    return {
        say("Python interpreter of the arm"): code(arm.python) if arm.python else plain(labels.NONE),
        say("Environment variables of the arm"): code(variables) if variables else plain(labels.NONE),
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
    return say(marked("none seen") if drew_from(run, DrawnFrom.GIVEN) else UNKNOWN)


def _operators(run: Run) -> str:
    answered = run.environment.npu_ops if run.environment else None
    if answered is None:
        return say(UNKNOWN)
    return formats.with_mark(say(labels.NPU_OPS[answered]), simulated=is_simulated(run))


# --- model -----------------------------------------------------------------------------------------------------------


def model(report: Report) -> Table:
    """What was loaded, by arm."""
    changed = any(run.plan.model.load for run in report.runs)
    columns = [_model(run) | (_loading(run) if changed else {}) for run in report.runs]
    return by_arm(report, columns, heading=say("Model"))


def _loading(run: Run) -> dict[str, Cell]:
    """How the pipeline was loaded, and the least number of times that what this turns on worked in an image."""
    load = run.plan.model.load
    asked = json.dumps(load.model_dump(mode="json", exclude_none=True), sort_keys=True) if load else ""
    names = dict.fromkeys(name for sample in run.samples for name in sample.in_effect)
    least = [f"{name}: {min(sample.in_effect.get(name, 0) for sample in run.samples)}" for name in names]
    return {
        say("Loading"): code(asked) if asked else plain(labels.NONE),
        say("Seen at work, times in an image at least"): code("; ".join(least)) if least else plain(labels.NONE),
    }


def _model(run: Run) -> dict[str, Cell]:
    asked, identity = run.plan.model, run.model
    return {
        say("Source"): code(identity.source),
        say("Revision"): code(identity.revision) if identity.revision else plain(say("none: not from a hub")),
        **_files(identity),
        say("Weights"): own(run) or figure(formats.size(identity.weights_bytes)),
        say("Adapter"): code(asked.adapter),
        **({say("Options of the adapter"): code(json.dumps(asked.options, sort_keys=True))} if asked.options else {}),
        say("Type of weights"): own(run) or code(run.plan.arm.dtype or asked.dtype),
        say("Attention"): own(run) or _attention(run),
        say("trust_remote_code"): plain(_yes_or_no(asked.trust_remote_code)),
        say("Code pinned by digest"): plain(_yes_or_no(bool(asked.code_sha256))),
        say("Digest of the harness's code"): digest(run.code_digest),
        **{say("Code {name}", name=name): Cell(value, kind="code") for name, value in sorted(identity.code.items())},
    }


def _attention(run: Run) -> Cell:
    asked = run.plan.model.attention
    if run.loaded and run.loaded.substitutions:
        return plain(say("asked for: {name}; see below what was replaced", name=asked))
    return code(asked)


def _files(identity: ModelIdentity) -> dict[str, Cell]:
    """What a model is by its files; records from before those were told apart know one digest over all."""
    if identity.loaded is None:
        return {say("Digest of all files"): Cell(identity.digest, kind="code")}
    return {
        say("Digest of what is loaded"): Cell(identity.loaded, kind="code"),
        say("Files beside it, which workers do not get"): plain(", ".join(identity.other_files) or labels.NONE),
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
    arms_by_text: dict[str, list[str]] = {}
    for run in report.runs:
        for text in replaced(run):
            arms_by_text.setdefault(text, []).append(run.plan.arm.name)
    return [say("{arms}: {text}", arms=", ".join(names), text=translated(text)) for text, names in arms_by_text.items()]


# --- environment -----------------------------------------------------------------------------------------------------


def environment(report: Report) -> Table:
    """Machine, device and packages, by arm."""
    return by_arm(report, [_environment(run) for run in report.runs], heading=say("Environment"))


def _environment(run: Run) -> dict[str, Cell]:
    recorded_environment = run.environment
    if recorded_environment is None:
        return {say("Device"): plain(say("not known: no worker came far enough to say"))}
    return {
        say("Device"): code(recorded_environment.device),
        say("Product"): plain(translated(recorded_environment.device_name)),
        say("Simulated"): plain(
            say("YES: a stand-in library plays the device") if recorded_environment.simulated else say("no")
        ),
        say("Backend"): code(recorded_environment.backend),
        **{
            capital(translated(name).replace("_", " ")): plain(value)
            for name, value in sorted(recorded_environment.facts.items())
        },
        "Python": plain(recorded_environment.python),
        **{name: plain(value) for name, value in sorted(recorded_environment.packages.items())},
        say("Operating system"): plain(recorded_environment.os),
        say("Processor"): plain(recorded_environment.cpu),
        say("Processors in use"): figure(recorded_environment.cpu_count),
        say("Memory"): figure(formats.size(recorded_environment.memory_bytes)),
        say("Commit"): code(recorded_environment.commit)
        if recorded_environment.commit
        else plain(say("not a git folder")),
    }


def switches(report: Report) -> Table:
    """Every setting that bears on the numbers, with what was asked for, what was in force, and who set it."""
    arms_by_switch: dict[Switch, list[str]] = {}
    for run in report.runs:
        for switch in run.environment.switches if run.environment else []:
            arms_by_switch.setdefault(switch, []).append(run.plan.arm.name)
    rows = [
        [
            code(switch.name),
            plain(say("nothing")) if switch.requested is None else code(switch.requested or say("(empty)")),
            plain(say("unset")) if switch.effective is None else code(switch.effective or say("(empty)")),
            plain(term(switch.source)),
            plain(say("all") if len(names) == len(report.runs) else ", ".join(names)),
        ]
        for switch, names in sorted(arms_by_switch.items(), key=lambda row: (row[0].name, row[1]))
    ]
    columns = (say("Switch"), say("Requested"), say("In force"), say("Set by"), say("Arms"))
    return table(columns, rows, title=say("Switches"), fold=True)
