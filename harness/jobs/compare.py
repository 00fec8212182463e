"""Compare stored runs and judge stored comparisons: the verbs compare and gate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness import scenario as scenarios
from harness import store
from harness.compare.comparator import StoredRun, compare_repeats, compare_runs
from harness.compare.gates import judge
from harness.compare.parity import with_parities
from harness.errors import UsageError
from harness.files import remove_leftovers
from harness.records import MANIFEST_FILE, RUN_FILE, ArmScores, Comparison, Manifest, Scope
from harness.store import baselines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path


def are_pictures(actual: Path, expected: Path) -> bool:
    """Whether both are picture files, or folders that no run made.

    Raises:
        UsageError: one is a run and the other is not: what a picture began with is known on one side only.
    """
    foreign = [not (path / RUN_FILE).is_file() and not _holds_runs(path) for path in (actual, expected)]
    if foreign[0] != foreign[1]:
        run, pictures = (expected, actual) if foreign[0] else (actual, expected)
        raise UsageError(
            f"{run} is a run and {pictures} is not. Compare two runs, or two folders of pictures; pictures that "
            "something else made become a run with the adapter 'images'."
        )
    return foreign[0]


def _holds_runs(path: Path) -> bool:
    return any(path.glob(f"*/{RUN_FILE}"))


def compare(actual: Path, expected: Path, out: Path | None, ratio_to: Sequence[Path] = ()) -> tuple[Path, Comparison]:
    """Compare two run folders, or one with itself for its repeats; gives the file and the judged comparison.

    A baseline's folder is hashed before it is believed. ``ratio_to`` are run folders of arms that limits with
    ``ratio_to`` divide by.
    """
    base = out.parent if out else actual.parent
    # Each path is followed once: a link that changes meanwhile would make one run out of two.
    place = actual.resolve()
    other = place if expected == actual else expected.resolve()
    actual_run = _stored(place)
    if place == other:
        comparison = compare_repeats(actual_run, limits=actual_run.run.plan.limits, base=base.resolve())
    else:
        others = [_stored(folder.resolve()) for folder in ratio_to]
        limits, expected_run = actual_run.run.plan.limits, _stored(other)
        compared = compare_runs(actual_run, expected_run, limits=limits, base=base.resolve(), others=others)
        comparison = with_parities(compared, kept_scores([actual_run, expected_run]))
    judged = judge(comparison, today=today())
    # What lies elsewhere may have an arm of the same name as one of this job, whose comparison is kept.
    elsewhere = "" if other.parent == place.parent else other.parent.name
    path = store.save(judged, out or base / comparison_file(judged, elsewhere))
    remove_leftovers(path.parent)
    return path, judged


def gate(paths: list[Path], scenario_path: Path | None) -> list[Comparison]:
    """Judge stored comparisons again, with the limits and waivers they carry or a scenario's; measures nothing."""
    scenario = scenarios.load(scenario_path).scenario if scenario_path else None
    limits, waivers = (scenario.limits, scenario.waivers) if scenario else (None, None)
    return [judge(store.load_comparison(path), limits, waivers, today=today()) for path in paths]


def _stored(folder: Path) -> StoredRun:
    """A run folder, a baseline's folder or a job's copy of one."""
    if (folder / MANIFEST_FILE).exists():
        kept = baselines.read(folder.parents[1], f"{folder.parent.name}/{folder.name}")
        return StoredRun(run=kept.run, folder=kept.folder, manifest=kept.manifest)
    copied = folder / baselines.TAKEN_FILE
    manifest = store.load(Manifest, copied) if copied.exists() else None
    return StoredRun(run=store.load_run(folder), folder=folder, manifest=manifest)


def kept_scores(stored: list[StoredRun]) -> dict[str, ArmScores]:
    """Scores that were kept beside the folders of runs, by run."""
    paths = [stored_run.folder.parent / store.scores_file(stored_run.run.plan.arm.name) for stored_run in stored]
    scores = [store.load(ArmScores, path) for path in paths if path.is_file()]
    return {arm_scores.run: arm_scores for arm_scores in scores}


def kept_runs(comparison: Comparison, job_folder: Path) -> list[StoredRun]:
    """The runs on both sides of a stored comparison of a job.

    Raises:
        RecordError: one of them cannot be read.
    """
    return [_stored((job_folder / side.path).resolve()) for side in (comparison.actual, comparison.expected)]


def comparison_file(comparison: Comparison, elsewhere: str = "") -> str:
    """Name of a comparison's file; ``elsewhere`` is the folder of an expected run that is not of the same job."""
    arms = comparison.actual.arm
    if comparison.scope is Scope.REFERENCE:
        arms += f"-against-{'.'.join(filter(None, (elsewhere, comparison.expected.arm)))}"
    return f"comparison-{comparison.scope}-{arms}.json"


def today() -> date:
    """The day that decides which waivers hold; it changes at midnight UTC, everywhere at once."""
    return datetime.now(UTC).date()
