"""From a checked scenario to the plan of one arm: overrides filled in, cases and seeds selected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness import plugins
from harness.contracts import is_outside
from harness.errors import NothingSelected, ScenarioError, UnknownName, UsageError
from harness.records import Arm, Case, ModelRef, NoiseMode, NpuOps, Plan, Repeats, Role, Scenario
from harness.scenario.devices import check_device, is_cpu, refuse_other_device
from harness.scenario.messages import allowed_by, definition_of, label_of
from harness.yaml_tree import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.scenario.loaded import LoadedScenario


def plan(  # noqa: PLR0913 - one word per option of the command line
    loaded_scenario: LoadedScenario,
    arm: Arm,
    *,
    cases: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    repeats: int | None = None,
    processes: int | None = None,
    device: str | None = None,
) -> Plan:
    """Fill in every override of an arm and select its work; selections keep the order of the scenario.

    ``cases`` and ``seeds`` select among those of the scenario; None takes all. ``repeats`` (in one process) and
    ``processes`` replace the scenario's numbers; an arm with repeats of its own keeps them. ``device`` replaces the
    device of a candidate; a reference keeps its own.

    Raises:
        UnknownName: the scenario has no such case, or there is no such backend.
        NothingSelected: a seed is not one of the scenario's, or the selection is empty.
        UsageError: ``repeats`` or ``processes`` is out of range, or ``device`` is not a device.
        ImageError: an input picture changed since the scenario was loaded and cannot be read any more.
    """
    scenario = loaded_scenario.scenario
    selected = _select_cases(scenario, cases)
    wanted = arm.repeats or _overridden_repeats(scenario.repeats, repeats, processes)
    model = scenario.model_of(arm)
    _refuse_reading_again(model, wanted)
    return Plan(
        scenario=scenario.name,
        scenario_digest=loaded_scenario.digest,
        arm=_filled_arm(scenario, arm, model, device),
        task=scenario.task,
        model=model,
        cases=selected,
        input_digests=_input_digests(loaded_scenario, selected),
        seeds=_select_seeds(scenario, seeds),
        width=scenario.width,
        height=scenario.height,
        steps=scenario.steps,
        guidance_scale=scenario.guidance_scale,
        repeats=wanted,
        time_limit_seconds=scenario.time_limit_seconds,
        limits=scenario.limits,
        waivers=scenario.waivers,
        differs_in=scenario.differs_in or {},
        arguments=scenario.arguments,
        argument_digests=_argument_digests(loaded_scenario),
        pictures_per_case=scenario.pictures_per_case,
        frames=scenario.frames,
    )


def for_calibration(loaded_scenario: LoadedScenario) -> LoadedScenario:
    """The same scenario with the cases and seeds that limits are measured on.

    Raises:
        ScenarioError: the scenario does not say which those are.
    """
    scenario = loaded_scenario.scenario
    if scenario.calibration is None:
        free = [seed for seed in range(1001, 1001 + 2 * len(scenario.seeds) + 2) if seed not in scenario.seeds]
        seeds = ", ".join(map(str, free[: max(2, len(scenario.seeds))]))
        raise ScenarioError(
            f"{loaded_scenario.path}: calibration: the key is missing; limits are measured on other seeds than they "
            f"judge. Add for example:\n\ncalibration:\n  seeds: [{seeds}]\n"
        )
    wanted = scenario.calibration
    cases = [case for case in scenario.cases if not wanted.cases or case.id in wanted.cases]
    return replace(loaded_scenario, scenario=scenario.model_copy(update={"cases": cases, "seeds": wanted.seeds}))


def _filled_arm(scenario: Scenario, arm: Arm, model: ModelRef, device: str | None) -> Arm:
    if device is not None:
        check_device(device)
    chosen = device if device is not None and arm.role is Role.CANDIDATE else arm.device
    adapter = plugins.load("adapters", model.adapter)
    outside = is_outside(adapter)
    if is_outside(adapter):
        refuse_other_device(model.adapter, chosen, computes=adapter.COMPUTES)
        chosen = chosen if adapter.COMPUTES else "cpu"
    return arm.model_copy(
        update={
            "device": chosen,
            "npu_ops": (arm.npu_ops or NpuOps.HIDDEN) if is_cpu(chosen) and not outside else None,
            "dtype": model.dtype,
            "noise": NoiseMode.UNVERIFIED if outside else arm.noise or _noise_inside(scenario),
            "switches": arm.switches or scenario.switches,
            "threads": arm.threads or scenario.threads,
        }
    )


def _noise_inside(scenario: Scenario) -> NoiseMode:
    """The scenario's noise; the default where the scenario's own images are made outside the worker."""
    return NoiseMode.PORTABLE if scenario.noise is NoiseMode.UNVERIFIED else scenario.noise


def _refuse_reading_again(model: ModelRef, repeats: Repeats) -> None:
    """A file that is read again is no repeat: it would pass for determinism.

    Raises:
        UsageError: there are more repeats or processes than the template of the pictures tells apart.
    """
    adapter = plugins.load("adapters", model.adapter)
    if not is_outside(adapter) or adapter.COMPUTES:
        return
    for key, name, count in (
        ("in_process", "{repeat}", repeats.in_process),
        ("processes", "{process}", repeats.processes),
    ):
        if count > 1 and name not in (model.pictures or ""):
            raise UsageError(
                f"repeats.{key}: found {count}; allowed is 1, because model.pictures has no {name}: one file read "
                f"{count} times is no repeat. Write 'repeats: {{in_process: 1, processes: 1}}', or name {name} in the "
                "template."
            )


def _select_cases(scenario: Scenario, wanted: Sequence[str] | None) -> list[Case]:
    if wanted is None:
        return scenario.cases
    known = [case.id for case in scenario.cases]
    for name in wanted:
        if name not in known:
            raise UnknownName(f"case of {scenario.name}", name, known)
    if not wanted:
        raise NothingSelected(f"no case of {scenario.name} is selected. There are: {', '.join(known)}.")
    return [case for case in scenario.cases if case.id in wanted]


def _select_seeds(scenario: Scenario, wanted: Sequence[int] | None) -> list[int]:
    if wanted is None:
        return scenario.seeds
    strange = [seed for seed in wanted if seed not in scenario.seeds]
    if strange or not wanted:
        what = (
            f"the seed {strange[0]} is not in {scenario.name}" if strange else f"no seed of {scenario.name} is selected"
        )
        raise NothingSelected(f"{what}. There are: {', '.join(map(str, scenario.seeds))}.")
    return [seed for seed in scenario.seeds if seed in wanted]


def _overridden_repeats(written: Repeats, repeats: int | None, processes: int | None) -> Repeats:
    wanted = {"in_process": repeats, "processes": processes}
    given = {field: value for field, value in wanted.items() if value is not None}
    try:
        return Repeats.model_validate({**written.model_dump(), **given}, strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        location = ("repeats", *fault["loc"])
        raise UsageError(
            f"{label_of(location)}: found {shown(fault['input'])}; allowed is {allowed_by(definition_of(location))}."
        ) from error


def _argument_digests(loaded_scenario: LoadedScenario) -> dict[str, str]:
    return {written: _digest(path) for written, path in loaded_scenario.argument_images.items()}


def _input_digests(loaded_scenario: LoadedScenario, cases: list[Case]) -> dict[str, str]:
    paths = loaded_scenario.input_images
    return {case.id: _digest(paths[case.id]) for case in cases if case.id in paths}


def _digest(picture: Path) -> str:
    """SHA-256 of the pixels of an input picture."""
    import numpy as np

    from harness import images

    return images.array_digest(np.asarray(images.read_input_picture(picture)))
