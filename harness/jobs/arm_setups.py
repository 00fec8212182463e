"""What each arm is run with: its interpreter and variables, its device, and the copy of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records import NoiseMode
from harness.run.interpreters import ProcessSetup, require_worker
from harness.run.sources import NO_COMMANDS, Permission, PreparedModel, prepare
from harness.run.supervisor import ChosenDevice, choose_device, named_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.records import Plan
    from harness.scenario import LoadedScenario


def setups_of(
    loaded: LoadedScenario, plans: Sequence[Plan], scratch: Path, permission: Permission = NO_COMMANDS
) -> dict[str, ProcessSetup]:
    """Interpreter and variables of every arm, by its name.

    Raises:
        UsageError: an arm has an interpreter or variables that ``permission`` does not cover, or its interpreter cannot
            run a worker.
    """
    setups = {}
    for plan in plans:
        arm = plan.arm
        setup = ProcessSetup(
            python=loaded.files[arm.python] if arm.python else None,
            written=arm.python or "",
            environment=arm.environment,
        )
        if arm.python or arm.environment:
            permission.require(setup.words, setup.digest)
        if plan.noise is not NoiseMode.UNVERIFIED:
            require_worker(setup, scratch / f"python-{arm.name}")
        setups[arm.name] = setup
    return setups


def devices_of(
    plans: Sequence[Plan],
    setups: Mapping[str, ProcessSetup],
    scratch: Path,
    known: dict[tuple[str, str], ChosenDevice],
) -> dict[str, ChosenDevice]:
    """The device of every arm, by its name; each is asked for once, and not at all where no worker opens it.

    ``known`` holds what was asked for before, and takes what is asked for now.
    """
    devices = {}
    for plan in sorted(plans, key=lambda plan: plan.arm.device):
        wanted, setup = plan.arm.device, setups[plan.arm.name]
        if plan.noise is NoiseMode.UNVERIFIED:
            devices[plan.arm.name] = named_device(wanted, setup)
            continue
        asked = wanted, setup.digest
        if asked not in known:
            known[asked] = choose_device(wanted, scratch / f"device-{plan.arm.name}", setup)
        devices[plan.arm.name] = known[asked]
    return devices


def models_of(
    loaded: LoadedScenario, plans: Sequence[Plan], scratch: Path, permission: Permission = NO_COMMANDS
) -> dict[str, PreparedModel]:
    """The model of every arm, by its name; arms whose models are loaded alike share a copy."""
    prepared: dict[str, PreparedModel] = {}
    models = {}
    for plan in plans:
        alike = plan.model.model_copy(update={"dtype": "float32"}).model_dump_json()
        if alike not in prepared:
            prepared[alike] = prepare(
                loaded.sources[plan.model.source],
                plan.model,
                scratch / (f"model-{len(prepared)}" if prepared else "model"),
                permission,
                loaded.files,
            )
        models[plan.arm.name] = prepared[alike]
    return models
