"""Accept, verify and carry baselines: the verbs of harness baseline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import scenario
from harness.compare.comparator import StoredRun, compare_runs
from harness.compare.gates import judge
from harness.errors import BaselineDamaged, BaselineMissing, ScenarioError
from harness.host import commit
from harness.store import acceptance, baselines, packs
from harness.store.folders import load_run

if TYPE_CHECKING:
    from harness.records import Comparison, Manifest
    from harness.store.baselines import Baseline


def accept_baseline(run_folder: Path, baselines_folder: Path, *, reason: str, who: str, modes: bool) -> Baseline:
    """Make a run the baseline of its scenario and arm, as of now and from the commit of the working folder."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return acceptance.accept(
        run_folder, baselines_folder, reason=reason, who=who, commit=commit(), accepted_utc=now, modes=modes
    )


@dataclass(frozen=True, kw_only=True)
class Updated:
    """A baseline that took the place of an older one after an intended change."""

    before: Manifest
    """Who accepted the older one, when and why."""
    after: Manifest
    """The same of the new one."""
    comparison: Comparison
    """The new run against the older baseline."""


def update_baseline(run_folder: Path, baselines_folder: Path, *, reason: str, who: str, modes: bool) -> Updated:
    """Put a run in the place of the baseline of its scenario and arm, and say what changes by that.

    Raises:
        BaselineMissing: there is none yet.
        BaselineDamaged: the older one is not what was accepted.
        UsageError, NotAcceptable, RecordError, RunError: as for accepting a run.
    """
    run = load_run(run_folder)
    older = baselines.read(baselines_folder, f"{run.plan.scenario}/{run.plan.arm.name}")
    place = run_folder.resolve()
    actual = StoredRun(run=run, folder=place)
    expected = StoredRun(run=older.run, folder=older.folder, manifest=older.manifest)
    comparison = judge(compare_runs(actual, expected, limits=[], base=place.parent), today=datetime.now(UTC).date())
    made = accept_baseline(run_folder, baselines_folder, reason=reason, who=who, modes=modes)
    return Updated(before=older.manifest, after=made.manifest, comparison=comparison)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What hashing a baseline again showed."""

    name: str
    """Scenario and arm."""
    digest: str
    """Digest of its manifest; empty where the manifest cannot be read."""
    problems: list[str]
    """What is damaged, missing or surplus; empty when it is whole."""
    notes: list[str]
    """What is worth knowing and breaks nothing."""


def verify_baselines(
    baselines_folder: Path, wanted: list[str], scenarios_folder: Path = Path("scenarios")
) -> list[Verified]:
    """Hash baselines again, all where none is named, and name what a killed process left.

    Raises:
        BaselineMissing: there is none, or not the one that was named.
    """
    chosen = wanted or baselines.names(baselines_folder)
    leftovers = baselines.unfinished(baselines_folder)
    if not chosen and not leftovers:
        raise BaselineMissing(f"there are no baselines in {baselines_folder}; harness baseline accept makes one.")
    verified = [_verified(baselines_folder, name, scenarios_folder) for name in chosen]
    if not wanted:
        problem = "an accept or unpack was cut off here; the next one of this baseline cleans it up"
        verified += [Verified(name=str(path), digest="", problems=[problem], notes=[]) for path in leftovers]
    return verified


def _verified(baselines_folder: Path, name: str, scenarios_folder: Path) -> Verified:
    notes = orphan_notes(name, scenarios_folder)
    try:
        manifest = baselines.read(baselines_folder, name).manifest
        return Verified(name=name, digest=manifest.digest, problems=[], notes=notes)
    except BaselineDamaged:
        folder = baselines.readable(baselines_folder, name)
        return Verified(name=name, digest="", problems=baselines.problems(folder, name), notes=notes)


def pack_baseline(baselines_folder: Path, name: str, out: Path) -> Baseline:
    """Write a baseline as one portable file."""
    return packs.pack(baselines_folder, name, out)


def unpack_baseline(path: Path, baselines_folder: Path, *, replace: bool) -> Baseline:
    """Put a packed baseline in its place after hashing all of it."""
    return packs.unpack(path, baselines_folder, replace=replace)


def push_baselines(baselines_folder: Path, wanted: list[str], target: str) -> list[Baseline]:
    """Put packs of baselines, all where none is named, into a folder that a URL names."""
    return packs.push(baselines_folder, wanted, target)


def pull_baselines(source: str, wanted: list[str], baselines_folder: Path, *, replace: bool) -> list[Baseline]:
    """Unpack baselines, all where none is named, from a folder that a URL names."""
    return packs.pull(source, wanted, baselines_folder, replace=replace)


def orphan_notes(name: str, scenarios_folder: Path) -> list[str]:
    """A word for a baseline that no scenario asks for; a scenario that cannot be used here might."""
    wanted, _, arm_name = name.partition("/")
    path = scenarios_folder / f"{wanted}.yaml"
    if not scenarios_folder.is_dir():
        return []
    try:
        arms = scenario.load(path).scenario.arms if path.exists() else []
    except ScenarioError:
        return []
    if any(arm.name == arm_name and arm.baseline for arm in arms):
        return []
    return [f"unused: no scenario in {scenarios_folder} has an arm {arm_name} with baseline: true for it"]
