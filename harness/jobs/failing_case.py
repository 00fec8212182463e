"""The case of a stored job that broke a limit most, for the verb explain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import scenario, store
from harness.errors import UsageError
from harness.jobs.concluding import worst_pair
from harness.records import Scope, Status

if TYPE_CHECKING:
    from harness.records import CaseKey, Comparison

_SCENARIO_WORD = 2
"""Place of the scenario file in the command of a job, after ``harness VERB``."""


@dataclass(frozen=True, kw_only=True)
class FailingCase:
    """What is to be explained of a job."""

    path: Path
    """Scenario file."""
    arm: str
    """Candidate that drifted."""
    against: str
    """Arm that it was compared with."""
    key: CaseKey
    """Case and seed of the worst broken limit."""


def failing_case(folder: Path) -> FailingCase:
    """The worst case of the first comparison with a reference that drifted.

    Raises:
        RecordError: the folder holds no job.
        UsageError: nothing drifted, the reference is no arm of the scenario, or the scenario was edited since.
    """
    job = store.load(store.Job, folder / store.JOB_FILE)
    comparisons = [store.load_comparison(path) for path in sorted(folder.glob("comparison-*.json"))]
    drifted = [c for c in comparisons if c.scope is Scope.REFERENCE and c.outcome is Status.DRIFT]
    if not drifted:
        raise UsageError(
            f"{folder}: found no comparison with a reference that drifted; explain needs one. To look into an arm all "
            f"the same, name the scenario: harness explain {job.command[_SCENARIO_WORD]} --arm ARM --against ARM"
        )
    first = drifted[0]
    if first.expected.arm not in {arm.name for arm in job.scenario.arms}:
        raise UsageError(
            f"{folder}: {first.actual.arm} was compared with {first.expected.arm}, which is no arm of "
            f"{job.scenario.name}; explain makes both sides anew. Name an arm that is right: --against ARM"
        )
    path = _scenario_file(Path(job.command[_SCENARIO_WORD]), folder)
    if scenario.written(path).digest != job.scenario.digest:
        raise UsageError(
            f"{folder}: {path} was edited after this job, so explain would look into another question. Check it again, "
            f"or explain the scenario as it is: harness explain {path} --arm {first.actual.arm} --against "
            f"{first.expected.arm}"
        )
    return FailingCase(
        path=path,
        arm=first.actual.arm,
        against=first.expected.arm,
        key=_worst(first),
    )


def _scenario_file(place: Path, folder: Path) -> Path:
    """The scenario's file: where the job's command names it, from here or from beside the folder of jobs.

    Raises:
        UsageError: it is in none of these places.
    """
    beside = folder.absolute().parents[1]
    tried = [place, Path(place.name), beside / place, beside / place.name]
    for path in tried:
        if path.is_file():
            return path
    raise UsageError(
        f"{folder}: its scenario was {place}, and there is no such file from here. Go to the folder where the job was "
        "made, or name the scenario instead of the job."
    )


def _worst(comparison: Comparison) -> CaseKey:
    worst = worst_pair(comparison, Status.DRIFT)
    return worst[1].key if worst else comparison.pairs[0].key
