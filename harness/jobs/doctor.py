"""Look at this machine, at a scenario's baselines and at the comparator: the verbs doctor and selftest."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins, scenario
from harness.compare.comparability import baseline_notes, on_purpose, plan_differences
from harness.compare.selftest import Check, checks
from harness.diagnose.checks import diagnose
from harness.diagnose.machine import look
from harness.errors import BaselineDamaged, NothingSelected, UnknownName
from harness.host import describe_host
from harness.jobs.arm_runs import Selection, chosen_arms, plans_of
from harness.jobs.arm_setups import models_of
from harness.jobs.references import read_references
from harness.records import Finding, Severity, Status
from harness.run.sources import EVERY
from harness.run.supervisor import ask_backends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.jobs.references import References
    from harness.records import Arm, Diagnosis, ModelIdentity, Plan, Run
    from harness.scenario import LoadedScenario


def doctor(wanted: str) -> Diagnosis:
    """Look at this machine and say what is wrong with it for a device; runs no model and changes nothing.

    Raises:
        UnknownName: no device is called like that.
    """
    if wanted not in {"auto", *plugins.names("backends")}:
        raise UnknownName("device", wanted, ["auto", *plugins.names("backends")])
    with tempfile.TemporaryDirectory(prefix="harness-doctor-") as scratch:
        backends = ask_backends(Path(scratch))
    return diagnose(look(Path("/"), os.environ, backends, wanted))


@dataclass(frozen=True, kw_only=True)
class BaselineState:
    """Whether a scenario could be compared with one of its baselines."""

    status: Status
    """Identical where nothing stands against it, else missing_baseline, not_comparable, or error for damage."""
    finding: Finding
    """The same in words."""


def examine_baselines(path: Path, baselines_folder: Path) -> list[BaselineState]:
    """Say of each baseline of a scenario whether it is there, whole and comparable; hashes the model and runs nothing.

    The scheduler's table is known only when a picture is made.

    Raises:
        NothingSelected: the scenario reads none.
        UsageError: two of its baselines differ in their noise.
    """
    loaded = scenario.load(path)
    live, kept = chosen_arms(loaded, Selection(), "check")
    if not kept:
        raise NothingSelected(f"{path} has no arm with 'baseline: true', so it reads no baseline.")
    plans = plans_of(loaded, Selection(), live)
    with tempfile.TemporaryDirectory(prefix="harness-doctor-") as scratch:
        models = {name: model.identity for name, model in models_of(loaded, plans, Path(scratch), EVERY).items()}
    states = [_baseline_state(loaded, arm, plans, models, baselines_folder) for arm in kept]
    if all(state.status is not Status.ERROR for state in states):
        read_references(baselines_folder, loaded, kept, plans)
    return states


def _baseline_state(
    loaded: LoadedScenario, arm: Arm, plans: list[Plan], models: Mapping[str, ModelIdentity], baselines_folder: Path
) -> BaselineState:
    name = f"baseline {loaded.scenario.name}/{arm.name}"
    blocked = partial(Finding, name=name, severity=Severity.BLOCKED)
    try:
        references = read_references(baselines_folder, loaded, [arm], plans)
    except BaselineDamaged as error:
        return BaselineState(status=Status.ERROR, finding=blocked(observed=str(error)))
    if references.missing:
        return BaselineState(status=Status.MISSING_BASELINE, finding=blocked(observed=references.missing[arm.name]))
    kept = references.baselines[arm.name]
    differences = [
        f"{plan.arm.name}: {difference}"
        for plan in plans
        for difference in _differences(references, plan, models[plan.arm.name], kept.run)
    ]
    if differences:
        step = "Change the scenario back, or make the baseline again and accept it."
        return BaselineState(
            status=Status.NOT_COMPARABLE, finding=blocked(observed="; ".join(differences), next_step=step)
        )
    notes = on_purpose(plans[0], models[plans[0].arm.name], kept.run)
    notes += baseline_notes(plans[0], kept.manifest, describe_host().packages)
    finding = Finding(
        name=name,
        severity=Severity.WARNING if notes else Severity.OK,
        changes_numbers=bool(notes),
        observed="; ".join([f"whole and comparable, manifest digest {kept.manifest.digest}", *notes]),
    )
    return BaselineState(status=Status.IDENTICAL, finding=finding)


def _differences(references: References, plan: Plan, model: ModelIdentity, expected: Run) -> list[str]:
    return plan_differences(references.with_noise(plan, model), model, expected, plan.differs_in)


def selftest() -> list[Check]:
    """Hold the comparator to known answers on this machine; runs no model and keeps nothing."""
    return checks()
