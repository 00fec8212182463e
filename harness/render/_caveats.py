"""What a report does not show, derived from its records: no sentence here stands in every report by habit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.records import DrawnFrom, NoiseMode, Role, Scope, Status, SwitchMode
from harness.render import _format as formats
from harness.render._document import Mark
from harness.render._format import listed
from harness.render._labels import term
from harness.render._lookup import of_scope
from harness.render._provenance import cases_of, distinct_sizes, drew_from, replaced, seeds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Comparison, Report, Run


def marks(report: Report) -> tuple[Mark, ...]:
    """Warnings for the top of the page: simulated devices, CPUs in place of accelerators, unfinished runs."""
    shown_marks = []
    simulated = simulated_arms(report)
    if simulated:
        title = say("SIMULATED DEVICE: not evidence about real hardware")
        text = say(
            "A stand-in library plays the device of {arms}. No number here was made by such a chip.",
            arms=listed(simulated),
        )
        shown_marks.append(Mark(title, text, "simulated"))
    stand_ins = cpu_candidates(report)
    if stand_ins:
        text = say(
            "{arms} ran on a CPU, a stand-in for an accelerator. This shows nothing about an NPU or GPU.",
            arms=listed(stand_ins),
        )
        shown_marks.append(Mark(say("CPU stand-in: not an accelerator"), text, "cpu"))
    outside = unverified_arms(report)
    if outside:
        text = say(
            "The pictures of {arms} were made outside the worker. With which noise, and on which device, is not known, "
            "so a difference to anything else may come from there.",
            arms=listed(outside),
        )
        shown_marks.append(Mark(say("NOISE UNVERIFIED"), text, "unverified"))
    unfinished = [run.plan.arm.name for run in report.runs if run.state == "unfinished"]
    if unfinished:
        text = say("The run of {arms} was interrupted or is still going; it is not judged.", arms=listed(unfinished))
        shown_marks.append(Mark(say("UNFINISHED"), text, "unfinished"))
    return tuple(shown_marks)


def simulated_arms(report: Report) -> list[str]:
    """Arms, of runs and of comparisons, whose device is played by a stand-in library."""
    runs = [run.plan.arm.name for run in report.runs if run.environment and run.environment.simulated]
    sides = [
        side.arm
        for comparison in report.comparisons
        for side in (comparison.actual, comparison.expected)
        if side.simulated
    ]
    return list(dict.fromkeys([*runs, *sides]))


def cpu_candidates(report: Report) -> list[str]:
    """Arms that are to be validated and ran on a CPU; a CPU as a reference is what it is meant to be."""
    return [
        run.plan.arm.name
        for run in report.runs
        if run.backend == "cpu" and run.plan.arm.role is Role.CANDIDATE and run.plan.noise is not NoiseMode.UNVERIFIED
    ]


def unverified_arms(report: Report) -> list[str]:
    """Arms, of runs and of comparisons, whose pictures were made outside the worker."""
    runs = [run.plan.arm.name for run in report.runs if run.plan.noise is NoiseMode.UNVERIFIED]
    sides = [side for comparison in report.comparisons for side in (comparison.actual, comparison.expected)]
    return list(dict.fromkeys([*runs, *(side.arm for side in sides if side.noise is NoiseMode.UNVERIFIED)]))


def not_shown(report: Report) -> tuple[str, ...]:
    """What a reader must not conclude, one sentence each."""
    return tuple(dict.fromkeys([*_about_repeats(report), *_about_accuracy(report), *_about_reach(report)]))


def _about_repeats(report: Report) -> Iterator[str]:
    comparisons = of_scope(report, Scope.REPEAT)
    repetitions = [repetition for comparison in comparisons for repetition in comparison.repetitions]
    if not repetitions:
        yield say("Nothing about determinism: no repeats were compared.")
        return
    steady = [repetition for repetition in repetitions if len(repetition.outcomes) == 1 and repetition.runs > 1]
    if steady:
        weakest = max(steady, key=lambda repetition: repetition.bound_95)
        yield say(
            "That repeats never differ: {runs} identical runs of a case and seed leave a failure rate of up to {rate} "
            "possible (95 % confidence).",
            runs=weakest.runs,
            rate=formats.percent(weakest.bound_95),
        )
    if any(repetition.runs == 1 for repetition in repetitions):
        yield say("Determinism where only one run was made: one run repeats nothing.")
    if any(repetition.processes == 1 < repetition.runs for repetition in repetitions):
        yield say("That a fresh process gives the same result: only one process was used.")
    modes = {run.plan.arm.switches for run in report.runs if run.plan.noise is not NoiseMode.UNVERIFIED}
    if modes == {SwitchMode.DETERMINISTIC}:
        yield say("Determinism as users get it: every arm ran with the determinism switches set.")
    if modes == {SwitchMode.AS_SHIPPED}:
        yield say("Whether determinism switches would help: no arm had them set.")


def _carried(report: Report) -> set[str]:
    """Baselines whose noise was given to another arm."""
    given = {run.plan.noise_from for run in report.runs} - {None}
    return {
        comparison.expected.arm
        for comparison in of_scope(report, Scope.REFERENCE)
        if comparison.expected.baseline in given
    }


def _about_accuracy(report: Report) -> Iterator[str]:
    comparisons = of_scope(report, Scope.REFERENCE)
    if not comparisons:
        yield say("Anything about accuracy: no arm was compared with a reference. Equal repeats can be equally wrong.")
    for comparison in comparisons:
        yield from _about_comparison(comparison)
    alone = [run.plan.arm.name for run in report.runs if run.plan.arm.against == []]
    if comparisons and alone:
        yield say("The accuracy of {arms}: the scenario compares only repeats there.", arms=listed(alone))
    device_noise = [run.plan.arm.name for run in report.runs if run.plan.noise is NoiseMode.DEVICE]
    device_noise = [name for name in device_noise if name not in _carried(report)]
    if device_noise:
        yield say(
            "How {arms} compares with another kind of device: the noise came from the device's own generator, which no "
            "other kind repeats.",
            arms=listed(device_noise),
        )
    torch_cpu = [run.plan.arm.name for run in report.runs if run.plan.noise is NoiseMode.TORCH_CPU]
    if torch_cpu:
        yield say(
            "How {arms} compares where torch has another version or instruction set: the noise is the stream of "
            "torch's CPU generator, which depends on both.",
            arms=listed(torch_cpu),
        )
    yield from _about_outside(report)
    if any(sample.float_image is None for run in report.runs for sample in run.samples):
        yield say("Differences below one level of 8 bits: the decoder's float output was not kept for every picture.")
    yield from _about_prompts(report)


def _about_outside(report: Report) -> Iterator[str]:
    outside = unverified_arms(report)
    if outside:
        yield say(
            "That {arms} began with the same noise as what it is compared with, or each repeat with the same: the "
            "noise is unverified.",
            arms=listed(outside),
        )
    for run in report.runs:
        if run.plan.model.command is not None:
            yield say(
                "Which type of weights, attention and switches {arm} used: they are the command's own. Variables that "
                "were set for it, and that it may change: {variables}.",
                arm=run.plan.arm.name,
                variables=", ".join(_variables(run)) or say("none"),
            )


def _variables(run: Run) -> list[str]:
    """Variables with their values that the command of an arm inherited."""
    switches = run.environment.switches if run.environment else []
    inherited = {switch.name: switch.effective for switch in switches if switch.effective is not None}
    own = run.plan.model.command.environment if run.plan.model.command else {}
    return [f"{name}={value}" for name, value in sorted((inherited | own).items())]


def _about_comparison(comparison: Comparison) -> Iterator[str]:
    sides = {"actual": comparison.actual.arm, "expected": comparison.expected.arm}
    if comparison.differences:
        yield say("The accuracy of {actual} against {expected}: the two sides cannot be compared.", **sides)
    elif not comparison.pairs:
        yield say("The accuracy of {actual} against {expected}: no pair was measured.", **sides)
    elif not comparison.limits:
        yield say(
            "Whether {actual} against {expected} is accurate enough: no limit was set, so differences are reported "
            "and not judged.",
            **sides,
        )
    if comparison.model and comparison.pairs:
        yield say(
            "What device and software alone change between {actual} and {expected}: their models differ on purpose.",
            **sides,
        )


def _about_prompts(report: Report) -> Iterator[str]:
    if not report.scores:
        yield say(
            "Whether the pictures show what the prompts ask for: pictures are compared with each other, never judged."
        )
    for name in dict.fromkeys(total.score for arm in report.scores for total in arm.totals):
        yield say("Whether the pictures show what the prompts ask for beyond what {score} reads in them.", score=name)
    if any(total.without_value for arm in report.scores for total in arm.totals):
        yield say("Whether pictures without a score show what their prompts ask for.")


def _about_reach(report: Report) -> Iterator[str]:
    simulated, stand_ins = simulated_arms(report), cpu_candidates(report)
    if simulated:
        yield say("Anything about real hardware from {arms}: the device is simulated.", arms=listed(simulated))
    if stand_ins:
        yield say("Anything about an accelerator from {arms}: a CPU did the work.", arms=listed(stand_ins))
    if report.scenario.model.source.startswith("builtin:"):
        model = report.scenario.model.source
        yield say("Anything about real weights: the model is {model}, made for testing.", model=model)
    changed = [run.plan.arm.name for run in report.runs if replaced(run)]
    if changed:
        yield say(
            "The model exactly as it was asked for, in {arms}: something was replaced, which the section Model names.",
            arms=listed(changed),
        )
    yield from _about_devices(report.runs)
    cases, seeds = cases_of(report), seeds_of(report)
    yield say(
        "Other work: {prompts}, {seeds}, {sizes}, {steps}, task {task}.",
        prompts=many("{count} prompt", "{count} prompts", len(cases)),
        seeds=many("{count} seed", "{count} seeds", len(seeds)),
        sizes=many(
            "one size ({sizes})",
            "{count} sizes ({sizes})",
            len(distinct_sizes(report)),
            sizes=", ".join(f"{width} x {height}" for width, height in distinct_sizes(report)),
        ),
        steps=many("{count} step", "{count} steps", report.scenario.steps),
        task=term(report.scenario.task),
    )
    left_out = [case.id for case in report.scenario.cases if case.id not in {part.id for part in cases}]
    if left_out:
        yield say("Cases of the scenario that were not selected: {cases}.", cases=", ".join(left_out))
    unused = [str(seed) for seed in report.scenario.seeds if seed not in seeds]
    if unused:
        yield say("Seeds of the scenario that were not selected: {seeds}.", seeds=", ".join(unused))
    idle = [arm.name for arm in report.scenario.arms if arm.name not in {run.plan.arm.name for run in report.runs}]
    if idle:
        yield say("Arms of the scenario that have no run here: {arms}.", arms=", ".join(idle))
    yield from _about_failures(report)


def _about_devices(runs: list[Run]) -> Iterator[str]:
    devices = sorted({(run.environment.device_name, run.environment.device) for run in runs if run.environment})
    if devices:
        yield say(
            "Other devices, drivers or versions than those listed: nothing but {devices} was used.",
            devices=listed([f"{device} ({translated(name)})" for name, device in devices]),
        )


def _about_failures(report: Report) -> Iterator[str]:
    hidden = [run.plan.arm.name for run in report.runs if any(sample.hidden_draws for sample in run.samples)]
    if hidden:
        yield say(
            "That the noise of {arms} is fully known: some random draws could not be controlled.", arms=listed(hidden)
        )
    elsewhere = [run.plan.arm.name for run in report.runs if drew_from(run, DrawnFrom.GLOBAL)]
    if elsewhere:
        yield say(
            "That the generator which a pipeline is given decides its pictures, in {arms}: some draws came from the "
            "global generator of the device instead, which other work in a process moves as well.",
            arms=listed(elsewhere),
        )
    for run in report.runs:
        planned = len(run.plan.keys) * run.plan.repeats.in_process * run.plan.repeats.processes
        if len(run.samples) < planned:
            yield say(
                "The {missing} of {planned} pictures of {arm} that were not made.",
                missing=planned - len(run.samples),
                planned=planned,
                arm=run.plan.arm.name,
            )
    if report.outcome is Status.SKIPPED:
        yield say("Anything at all: nothing was judged.")
