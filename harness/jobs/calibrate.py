"""Measure what limits should be, and say which were not measured: the verbs calibrate and validate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness import scenario as scenarios
from harness import store
from harness.calibrate.floors import floors, step_floors
from harness.calibrate.rule import DISTURBANCES, NEAR_FACTOR, Measured, lower_dtypes, proposed, too_near
from harness.compare.comparator import StoredRun, compare_samples, sample_steps
from harness.compare.planted import detections
from harness.errors import RunError, UnknownName, UsageError
from harness.files import write_atomically
from harness.jobs.arm_runs import Selection, made_runs, prepared
from harness.jobs.noise_floors import CALIBRATION_FILE
from harness.records import (
    Calibration,
    FloorSource,
    NoiseMode,
    Perturbation,
    PerturbationKind,
    Repeats,
    Role,
    Run,
    Scenario,
    Scope,
)
from harness.yaml_edit import replace_entries, require_block_list

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.jobs.progress import ProgressReporter
    from harness.records import Arm, Limit, Plan
    from harness.scenario import LoadedScenario


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What calibrating one scenario gave."""

    folder: Path
    """Job folder."""
    calibration: Calibration
    """Floors, proposed limits, and what they say about planted faults."""
    written: bool
    """Whether the limits were put into the scenario."""
    guessed: list[str]
    """Limits of the scenario that judge now and were not measured; empty where nothing was written."""


def calibrate(
    path: Path, arm_name: str | None, *, write: bool, runs_folder: Path, reporter: ProgressReporter
) -> Calibrated:
    """Measure a reference's own noise floor, propose limits, and plant faults that they must not let pass.

    With ``write`` the limits take the place of those with evidence in the scenario, unless a planted fault passes.

    Raises:
        UsageError: the scenario has no reference that could be calibrated, or its limits could not be written.
        RunError: a run failed, or there is no floor.
    """
    loaded = scenarios.load(path)
    arm = _calibrated_arm(loaded.scenario, arm_name)
    if write:
        require_block_list(_text(path), "limits")
        _refuse_translated(loaded.scenario, arm)
    selection = Selection(arms=[arm.name], runs_folder=runs_folder)
    plans = _calibration_plans(scenarios.for_calibration(loaded), arm)
    with (
        prepared([loaded], selection, "calibrate", reporter, list(plans.values())) as (job,),
        made_runs(job, selection, reporter) as made,
    ):
        stored = {
            source: StoredRun(run=_whole(stored.run), folder=stored.folder)
            for source, stored in zip(plans, made.made, strict=True)
        }
        calibration = _calibration(loaded, arm, stored)
        store.save(calibration, made.folder / CALIBRATION_FILE)
    if write and not calibration.missed:
        _write_limits(loaded, arm, calibration)
    written = write and not calibration.missed
    guessed = guessed_limits(scenarios.load(path).scenario) if written else []
    return Calibrated(folder=made.folder, calibration=calibration, written=written, guessed=guessed)


def guessed_limits(scenario: Scenario) -> list[str]:
    """Rules of the limits against a reference that judge without evidence, each with its place in the file."""
    return [
        f"limits[{index}] ({limit.rule}" + (f", against {limit.arm})" if limit.arm else ")")
        for index, limit in enumerate(scenario.limits)
        if limit.evidence is None and _needs_evidence(scenario, limit)
    ]


def _needs_evidence(scenario: Scenario, limit: Limit) -> bool:
    """Whether a limit ought to be measured: no promise of identical bytes, no ratio and no score, which are chosen."""
    if limit.scope is not Scope.REFERENCE or limit.metric == "identical" or limit.ratio_to is not None:
        return False
    return limit.metric not in scenario.scores


def doubtful_limits(scenario: Scenario) -> list[str]:
    """What should be measured before it is relied on: limits against a reference without evidence, or too near to it.

    A promise of identical bytes needs none.
    """
    doubts = []
    for index, limit in enumerate(scenario.limits):
        if not _needs_evidence(scenario, limit):
            continue
        if limit.evidence is None:
            doubts.append(
                f"limits[{index}] ({limit.rule}) has no evidence; harness calibrate measures what it should be"
            )
        elif too_near(limit):
            doubts.append(
                f"limits[{index}] ({limit.rule}) allows less than {NEAR_FACTOR} times the worst error of its evidence "
                f"({limit.evidence.worst:g}), so correct results may break it; harness calibrate measures it again"
            )
    return doubts


def _calibrated_arm(scenario: Scenario, name: str | None) -> Arm:
    references = {arm.name: arm for arm in scenario.arms if arm.role is Role.REFERENCE}
    if not references:
        raise UsageError(
            f"{scenario.name} has no reference arm, and calibrate measures the noise floor of a reference; add an arm "
            "with role: reference."
        )
    if name is None and len(references) > 1:
        raise UsageError(
            f"{scenario.name} has {len(references)} reference arms; name one: --arm {' or '.join(references)}."
        )
    if name is not None and name not in references:
        raise UnknownName(f"reference arm of {scenario.name}", name, references)
    arm = references[name or next(iter(references))]
    if (arm.noise or scenario.noise) is NoiseMode.DEVICE:
        raise UsageError(f"{arm.name} draws its noise on its device, where nothing is disturbed; set noise: portable.")
    return arm


def _calibration_plans(loaded: LoadedScenario, arm: Arm) -> dict[FloorSource, Plan]:
    """The runs that show how far a reference may be from itself: each in one process, so that weights load once.

    Modules are disturbed in float32 only: in a half type the noise's last bit already draws every later rounding anew.
    """
    dtype = arm.dtype or loaded.scenario.model.dtype
    lower = lower_dtypes(dtype, _candidate_dtypes(loaded.scenario))
    twice = arm.model_copy(update={"repeats": Repeats(in_process=2, processes=1)})
    plans = {
        FloorSource.REPEAT: scenarios.plan(loaded, twice),
        FloorSource.LATENT_ULP: _disturbed(loaded, arm, PerturbationKind.LATENT_ULP),
    }
    if dtype == "float32":
        plans[FloorSource.MODULE_ULP] = _disturbed(loaded, arm, PerturbationKind.MODULE_ULP)
    if lower:
        coarse = _named(arm, lower[0]).model_copy(update={"dtype": lower[0]})
        plans[FloorSource.PRECISION] = _disturbed(loaded, coarse, PerturbationKind.LATENT_ULP)
    return plans


def _disturbed(loaded: LoadedScenario, arm: Arm, kind: PerturbationKind) -> Plan:
    repeats = Repeats(in_process=DISTURBANCES, processes=1)
    named = _named(arm, kind.value.replace("_", "-")).model_copy(update={"repeats": repeats})
    return scenarios.plan(loaded, named).model_copy(update={"perturbation": Perturbation(kind=kind)})


def _named(arm: Arm, suffix: str) -> Arm:
    """The arm under a longer name, which is still no longer than a name may be."""
    return arm.model_copy(update={"name": f"{arm.name[: 63 - len(suffix)]}-{suffix}"})


def _candidate_dtypes(scenario: Scenario) -> list[str]:
    return [arm.dtype or scenario.model.dtype for arm in scenario.arms if arm.role is Role.CANDIDATE]


def _whole(run: Run) -> Run:
    """A run in which nothing failed.

    Raises:
        RunError: something did.
    """
    if run.failures:
        first = run.failures[0]
        raise RunError(f"{run.id}: {first.stage}: {first.message} Limits are taken from whole runs only.")
    return run


def _calibration(loaded: LoadedScenario, arm: Arm, stored: Mapping[FloorSource, StoredRun]) -> Calibration:
    """Floors from all runs, limits from the floors, and planted faults compared with the limits."""
    plain = stored[FloorSource.REPEAT]
    healthy = stored.get(FloorSource.PRECISION) or stored[FloorSource.LATENT_ULP]
    environment = plain.run.environment
    lower = stored.get(FloorSource.PRECISION)
    measured = Measured(
        date=datetime.now(UTC).date(),
        device=f"{plain.run.backend}:{environment.device_name if environment else 'unknown'}",
        seeds=plain.run.plan.seeds,
        cases=[case.id for case in plain.run.plan.cases],
        reference_dtype=plain.run.plan.model.dtype,
        candidate_dtype=(lower or plain).run.plan.model.dtype,
        arm=arm.name if [other.role for other in loaded.scenario.arms].count(Role.REFERENCE) > 1 else None,
    )
    noise_floors = floors({source: compare_samples(run, plain) for source, run in stored.items()})
    limits = proposed(noise_floors, measured)
    return Calibration(
        scenario=loaded.scenario.name,
        scenario_digest=loaded.digest,
        arm=arm.name,
        device=measured.device,
        simulated=environment.simulated if environment else False,
        reference_dtype=measured.reference_dtype,
        candidate_dtype=measured.candidate_dtype,
        date=measured.date,
        seeds=measured.seeds,
        cases=measured.cases,
        floors=noise_floors,
        steps=step_floors({source: sample_steps(run, plain) for source, run in stored.items()}),
        limits=limits,
        detections=detections(limits, healthy, plain),
    )


def _owned(scenario: Scenario, arm: Arm) -> list[int]:
    """Places of the limits that a calibration of an arm replaces."""
    return [
        index
        for index, limit in enumerate(scenario.limits)
        if limit.evidence is not None and limit.scope is Scope.REFERENCE and limit.arm in {None, arm.name}
    ]


def _refuse_translated(scenario: Scenario, arm: Arm) -> None:
    """Stop before anything is measured where a translation would be left over by the limits that are replaced."""
    owned = _owned(scenario, arm)
    kept = {limit.reason for index, limit in enumerate(scenario.limits) if index not in owned}
    for index in owned:
        reason = scenario.limits[index].reason
        if reason not in kept and any(reason in sentences for sentences in scenario.translations.values()):
            raise UsageError(
                f"limits[{index}] would be replaced, but its reason is translated, and the translation would be left "
                "over; take it out of 'translations' first, or calibrate without --write."
            )


def _write_limits(loaded: LoadedScenario, arm: Arm, calibration: Calibration) -> None:
    """Put proposed limits into a scenario file in the place of those with evidence for the same arm."""
    owned = _owned(loaded.scenario, arm)
    added = [limit.model_dump(mode="json", exclude_none=True) for limit in calibration.limits]
    edited = replace_entries(_text(loaded.path), "limits", drop=owned, add=added)
    write_atomically(loaded.path, edited.encode("utf-8"))
    scenarios.load(loaded.path)


def _text(path: Path) -> str:
    """The text of a file with its own line ends."""
    return path.read_bytes().decode("utf-8")
