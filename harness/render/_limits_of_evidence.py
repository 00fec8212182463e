"""What a report does not show, derived from its records: no sentence here stands in every report by habit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records import NoiseMode, Role, Scope, Status, SwitchMode
from harness.render import _words as words
from harness.render._circumstances import cases_of, seeds_of
from harness.render._document import Mark
from harness.render._tables import of_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Report, Run


def marks(report: Report) -> tuple[Mark, ...]:
    """Warnings for the top of the page: simulated devices, CPUs in place of accelerators, unfinished runs."""
    found = []
    simulated = simulated_arms(report)
    if simulated:
        text = f"A stand-in library plays the device of {_listed(simulated)}. No number here was made by such a chip."
        found.append(Mark("SIMULATED DEVICE: not evidence about real hardware", text, "simulated"))
    stand_ins = cpu_candidates(report)
    if stand_ins:
        text = (
            f"{_listed(stand_ins)} ran on a CPU, a stand-in for an accelerator. This shows nothing about an NPU or GPU."
        )
        found.append(Mark("CPU stand-in: not an accelerator", text, "cpu"))
    outside = unverified_arms(report)
    if outside:
        text = (
            f"The pictures of {_listed(outside)} were made outside the worker. With which noise, and on which device, "
            "is not known, so a difference to anything else may come from there."
        )
        found.append(Mark("NOISE UNVERIFIED", text, "unverified"))
    unfinished = [run.plan.arm.name for run in report.runs if run.state == "unfinished"]
    if unfinished:
        text = f"The run of {_listed(unfinished)} was interrupted or is still going; it is not judged."
        found.append(Mark("UNFINISHED", text, "unfinished"))
    return tuple(found)


def simulated_arms(report: Report) -> list[str]:
    """Arms, of runs and of comparisons, whose device is played by a stand-in library."""
    runs = [run.plan.arm.name for run in report.runs if run.environment and run.environment.simulated]
    sides = [side.arm for each in report.comparisons for side in (each.actual, each.expected) if side.simulated]
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
    sides = [side for each in report.comparisons for side in (each.actual, each.expected)]
    return list(dict.fromkeys([*runs, *(side.arm for side in sides if side.noise is NoiseMode.UNVERIFIED)]))


def not_shown(report: Report) -> tuple[str, ...]:
    """What a reader must not conclude, one sentence each."""
    return tuple(dict.fromkeys([*_about_repeats(report), *_about_accuracy(report), *_about_reach(report)]))


def _about_repeats(report: Report) -> Iterator[str]:
    comparisons = of_scope(report, Scope.REPEAT)
    found = [repetition for comparison in comparisons for repetition in comparison.repetitions]
    if not found:
        yield "Nothing about determinism: no repeats were compared."
        return
    steady = [repetition for repetition in found if len(repetition.outcomes) == 1 and repetition.runs > 1]
    if steady:
        weakest = max(steady, key=lambda repetition: repetition.bound_95)
        yield (
            f"That repeats never differ: {weakest.runs} identical runs of a case and seed leave a failure rate of up "
            f"to {words.percent(weakest.bound_95)} possible (95 % confidence)."
        )
    if any(repetition.runs == 1 for repetition in found):
        yield "Determinism where only one run was made: one run repeats nothing."
    if any(repetition.processes == 1 < repetition.runs for repetition in found):
        yield "That a fresh process gives the same result: only one process was used."
    modes = {run.plan.arm.switches for run in report.runs}
    if modes == {SwitchMode.DETERMINISTIC}:
        yield "Determinism as users get it: every arm ran with the determinism switches set."
    if modes == {SwitchMode.AS_SHIPPED}:
        yield "Whether determinism switches would help: no arm had them set."


def _carried(report: Report) -> set[str]:
    """Baselines whose noise was given to another arm."""
    given = {run.plan.noise_from for run in report.runs} - {None}
    return {each.expected.arm for each in of_scope(report, Scope.REFERENCE) if each.expected.baseline in given}


def _about_accuracy(report: Report) -> Iterator[str]:
    comparisons = of_scope(report, Scope.REFERENCE)
    if not comparisons:
        yield "Anything about accuracy: no arm was held against a reference. Equal repeats can be equally wrong."
    for comparison in comparisons:
        names = f"{comparison.actual.arm} against {comparison.expected.arm}"
        if comparison.differences:
            yield f"The accuracy of {names}: the two sides cannot be compared."
        elif not comparison.pairs:
            yield f"The accuracy of {names}: no pair was measured."
        elif not comparison.limits:
            yield f"Whether {names} is accurate enough: no limit was set, so differences are reported and not judged."
    device_noise = [run.plan.arm.name for run in report.runs if run.plan.noise is NoiseMode.DEVICE]
    device_noise = [name for name in device_noise if name not in _carried(report)]
    if device_noise:
        yield (
            f"How {_listed(device_noise)} compares with another kind of device: the noise came from the device's own "
            "generator, which no other kind repeats."
        )
    outside = unverified_arms(report)
    if outside:
        yield (
            f"That {_listed(outside)} began with the same noise as what it is held against, or each repeat with the "
            "same: the noise is unverified."
        )
    if any(sample.float_image is None for run in report.runs for sample in run.samples):
        yield "Differences below one level of 8 bits: the decoder's float output was not kept for every picture."
    yield from _about_prompts(report)


def _about_prompts(report: Report) -> Iterator[str]:
    if not report.scores:
        yield "Whether the pictures show what the prompts ask for: pictures are compared with each other, never judged."
    for name in dict.fromkeys(total.score for arm in report.scores for total in arm.totals):
        yield f"Whether the pictures show what the prompts ask for beyond what {name} reads in them."
    if any(total.without_value for arm in report.scores for total in arm.totals):
        yield "Whether pictures without a score show what their prompts ask for."


def _about_reach(report: Report) -> Iterator[str]:
    simulated, stand_ins = simulated_arms(report), cpu_candidates(report)
    if simulated:
        yield f"Anything about real hardware from {_listed(simulated)}: the device is simulated."
    if stand_ins:
        yield f"Anything about an accelerator from {_listed(stand_ins)}: a CPU did the work."
    if report.scenario.model.source.startswith("builtin:"):
        yield f"Anything about real weights: the model is {report.scenario.model.source}, made for testing."
    replaced = [run.plan.arm.name for run in report.runs if run.loaded and run.loaded.substitutions]
    if replaced:
        yield (
            f"The model exactly as it was asked for, in {_listed(replaced)}: something was replaced, which the section "
            "Model names."
        )
    yield from _about_devices(report.runs)
    cases, seeds = cases_of(report), seeds_of(report)
    yield (
        f"Other work: {words.count(len(cases), 'prompt')}, {words.count(len(seeds), 'seed')}, one size "
        f"({report.scenario.width} x {report.scenario.height}), {words.count(report.scenario.steps, 'step')}, task "
        f"{report.scenario.task.value.replace('_', ' ')}."
    )
    left_out = [case.id for case in report.scenario.cases if case.id not in {each.id for each in cases}]
    if left_out:
        yield f"Cases of the scenario that were not selected: {', '.join(left_out)}."
    unused = [str(seed) for seed in report.scenario.seeds if seed not in seeds]
    if unused:
        yield f"Seeds of the scenario that were not selected: {', '.join(unused)}."
    idle = [arm.name for arm in report.scenario.arms if arm.name not in {run.plan.arm.name for run in report.runs}]
    if idle:
        yield f"Arms of the scenario that have no run here: {', '.join(idle)}."
    yield from _about_failures(report)


def _about_devices(runs: list[Run]) -> Iterator[str]:
    devices = sorted({(run.environment.device_name, run.environment.device) for run in runs if run.environment})
    if devices:
        names = _listed([f"{device} ({name})" for name, device in devices])
        yield f"Other devices, drivers or versions than those listed: nothing but {names} was used."


def _about_failures(report: Report) -> Iterator[str]:
    hidden = [run.plan.arm.name for run in report.runs if any(sample.hidden_draws for sample in run.samples)]
    if hidden:
        yield f"That the noise of {_listed(hidden)} is fully known: some random draws could not be controlled."
    for run in report.runs:
        planned = len(run.plan.keys) * run.plan.repeats.in_process * run.plan.repeats.processes
        if len(run.samples) < planned:
            yield f"The {planned - len(run.samples)} of {planned} pictures of {run.plan.arm.name} that were not made."
    if report.outcome is Status.SKIPPED:
        yield "Anything at all: nothing was judged."


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + " and " + names[-1]  # noqa: PLR2004
