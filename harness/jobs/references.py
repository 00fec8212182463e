"""What the baseline store holds for a scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.compare.comparability import input_differences
from harness.compare.comparator import StoredRun
from harness.errors import BaselineMissing, UsageError
from harness.language import recorded
from harness.records import NoiseMode, calls_of
from harness.run.events import GivenNoise
from harness.store import baselines
from harness.suggestions import from_here

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Arm, CaseKey, ModelIdentity, Plan
    from harness.scenario import LoadedScenario
    from harness.store.baselines import Baseline


@dataclass(frozen=True, kw_only=True)
class References:
    """What the baseline store holds for a scenario."""

    baselines: dict[str, Baseline] = field(default_factory=dict)
    """Whole baselines that hold every selected case and seed, by arm."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why there is none, and what makes it, by arm."""
    keys: list[CaseKey] = field(default_factory=list)
    """Selected cases and seeds."""
    arms: dict[str, Arm] = field(default_factory=dict)
    """Arms as the scenario writes them, by name."""

    def with_noise(self, plan: Plan, model: ModelIdentity) -> Plan:
        """The plan with the noise of a baseline, where it would have portable noise and the two can be compared."""
        if plan.noise is not NoiseMode.PORTABLE:
            return plan
        for baseline in self.baselines.values():
            unlike = input_differences(plan, model, baseline.run, plan.differs_in)
            if _has_noise(baseline) and not unlike:
                return plan.model_copy(update={"noise_from": baseline.manifest.digest})
        return plan

    def given_noise(self, plan: Plan, folder: Path) -> list[GivenNoise]:
        """Noise for a plan that takes it from a baseline, as files of the job's copy."""
        for arm, baseline in self.baselines.items():
            if baseline.manifest.digest == plan.noise_from:
                firsts = {call: baseline.run.samples_of(key)[0] for call, key in calls_of(self.keys).items()}
                return [
                    GivenNoise(
                        key=call,
                        path=str((folder / arm / (sample.noise_path or "")).absolute()),
                        draws=sample.draws,
                    )
                    for call, sample in firsts.items()
                ]
        return []

    def take(self, folder: Path) -> None:
        """Copy the baselines into a job's folder."""
        for arm, baseline in self.baselines.items():
            baselines.take(baseline, self.keys, folder / arm)

    def stored(self, folder: Path) -> list[StoredRun]:
        """The job's copies."""
        return [
            StoredRun(run=baselines.selected(baseline.run, self.keys), folder=folder / arm, manifest=baseline.manifest)
            for arm, baseline in self.baselines.items()
        ]


def read_references(baselines_folder: Path, loaded: LoadedScenario, arms: list[Arm], plans: list[Plan]) -> References:
    """What the store holds for these arms.

    Raises:
        BaselineDamaged: a baseline is not what was accepted.
        UsageError: two baselines differ in their noise, so one run cannot be compared with both.
    """
    whole, missing = {}, {}
    for arm in arms:
        name = f"{loaded.scenario.name}/{arm.name}"
        try:
            baseline = baselines.read(baselines_folder, name)
        except BaselineMissing:
            missing[arm.name] = recorded(
                "there is no baseline {baseline} in {folder}. Make it on the machine it belongs to: harness run "
                "{scenario} --arm {arm}; then harness baseline accept runs/JOB/{arm} --reason TEXT; "
                "and harness baseline pack and unpack carry it here",
                baseline=name,
                folder=baselines_folder,
                scenario=from_here(loaded.path),
                arm=arm.name,
            )
            continue
        lacking = [key for key in plans[0].keys if not baseline.run.samples_of(key)]
        if lacking:
            missing[arm.name] = recorded(
                "the baseline {baseline} does not hold {lacking}. Make it again on the machine it belongs to: "
                "harness run {scenario} --arm {arm}; then harness baseline accept runs/JOB/{arm} --reason TEXT; "
                "and harness baseline pack and unpack carry it here",
                baseline=name,
                lacking=lacking,
                scenario=from_here(loaded.path),
                arm=arm.name,
            )
        else:
            whole[arm.name] = baseline
    _refuse_two_noises(whole, plans[0].keys)
    return References(baselines=whole, missing=missing, keys=plans[0].keys, arms={arm.name: arm for arm in arms})


def _refuse_two_noises(whole: dict[str, Baseline], keys: list[CaseKey]) -> None:
    noises = {
        arm: [baseline.run.samples_of(key)[0].noise_digest for key in keys]
        for arm, baseline in whole.items()
        if _has_noise(baseline)
    }
    (first, *others) = noises or [""]
    for other in others:
        if noises[other] != noises[first]:
            raise UsageError(
                f"the baselines of {first} and {other} had different noise, so no run can be compared with both; name "
                f"one of them: --arm {first}."
            )


def _has_noise(baseline: Baseline) -> bool:
    return all(sample.noise_digest is not None for sample in baseline.run.samples)
