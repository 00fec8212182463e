"""Job folders as harness check leaves them, made from reports built by hand, and scenario files that ask the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import store
from harness.records import RUN_FILE
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.records import Comparison, Report, Run, RunRef


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A job on the disk."""

    scenario: Path
    job: Path
    report: Report


def stored(place: Path, name: str, make: Callable[[Path], Report], stamp: str = "20260101T000000Z") -> Stored:
    """A job folder below ``place/runs`` and a scenario file below ``place/scenarios``."""
    folder = place / "runs" / f"{stamp}_{name}"
    folder.mkdir(parents=True)
    made = named(make(folder), name, folder.name)
    for run in made.runs:
        store.save(run, folder / run.plan.arm.name / RUN_FILE)
    for comparison in made.comparisons:
        store.save(comparison, folder / file_name(comparison))
    job = store.Job(state="finished", scenario=made.scenario, command=made.command)
    store.save(job, folder / store.JOB_FILE)
    path = place / "scenarios" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(made.scenario.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    return Stored(scenario=path, job=folder, report=made)


def file_name(comparison: Comparison) -> str:
    arms = f"{comparison.actual.arm}-against-{comparison.expected.arm}"
    return f"comparison-{comparison.scope}-{arms}.json"


def named(report: Report, name: str, job: str) -> Report:
    """The report with the ids that it has in a job folder."""
    scenario = report.scenario.model_copy(update={"name": name})
    return report.model_copy(
        update={
            "title": f"{name}: accuracy and determinism",
            "scenario": scenario,
            "runs": [_run(each, name, job) for each in report.runs],
            "comparisons": [
                each.model_copy(
                    update={
                        "scenario": name,
                        "actual": _side(each.actual, job),
                        "expected": _side(each.expected, job),
                    }
                )
                for each in report.comparisons
            ],
        }
    )


def _run(run: Run, name: str, job: str) -> Run:
    plan = run.plan.model_copy(update={"scenario": name})
    return run.model_copy(update={"id": f"{job}/{run.plan.arm.name}", "plan": plan})


def _side(side: RunRef, job: str) -> RunRef:
    return side.model_copy(update={"id": f"{job}/{side.arm}", "path": side.arm})


def release_folder(place: Path) -> Path:
    """A place with three jobs: one that passes, one that drifts, and one that two arms passed."""
    stored(place, "passes", sample_reports.within_limits)
    stored(place, "drifts", sample_reports.drift)
    stored(place, "repeats", sample_reports.identical)
    return place
