"""Orders for workers that look into one picture of an arm: which case and seed, on what, with which copy of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import scenario
from harness.errors import UnknownName, UsageError
from harness.jobs.arm_setups import devices_of, models_of, setups_of
from harness.records import CaseKey
from harness.run.supervisor import Order
from harness.suggestions import from_here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.records import Arm, Plan
    from harness.run.sources import Permission
    from harness.scenario import LoadedScenario


def arm_named(loaded: LoadedScenario, name: str) -> Arm:
    """The arm of that name.

    Raises:
        UnknownName: there is none.
    """
    arms = {arm.name: arm for arm in loaded.scenario.arms}
    if name not in arms:
        raise UnknownName(f"arm of {loaded.scenario.name}", name, arms)
    return arms[name]


def key_of(loaded: LoadedScenario, case: str | None, seed: int | None) -> CaseKey:
    """Case and seed; the scenario's first where none is given.

    Raises:
        UnknownName: there is no such case.
        UsageError: the scenario's calls make videos.
    """
    cases = [case.id for case in loaded.scenario.cases]
    if loaded.scenario.frames is not None:
        raise UsageError(
            f"{from_here(loaded.path)}: found frames; explain looks into calls that make pictures. Give a scenario "
            "without frames."
        )
    if case is not None and case not in cases:
        raise UnknownName(f"case of {loaded.scenario.name}", case, cases)
    return CaseKey(case=case or cases[0], seed=loaded.scenario.seeds[0] if seed is None else seed)


def plan_of(loaded: LoadedScenario, arm: Arm, key: CaseKey) -> Plan:
    """The plan of an arm for one picture."""
    return scenario.plan(loaded, arm, cases=[key.case], seeds=[key.seed], repeats=1, processes=1)


def orders_of(
    loaded: LoadedScenario, plans: Sequence[Plan], scratch: Path, folder: Path, permission: Permission
) -> dict[str, Order]:
    """What is run for each plan, by the name of its arm; results go to a folder of that name."""
    setups = setups_of(loaded, plans, scratch, permission)
    devices = devices_of(plans, setups, scratch, {})
    models = models_of(loaded, plans, scratch, permission)
    return {
        plan.arm.name: Order(
            plan=plan,
            device=devices[plan.arm.name],
            model=models[plan.arm.name],
            setup=setups[plan.arm.name],
            input_images=loaded.input_images,
            argument_images=loaded.argument_images,
            folder=(folder / plan.arm.name).absolute(),
            run_id=f"{folder.name}/{plan.arm.name}",
        )
        for plan in plans
    }
