"""The case of a stored job that is explained, and jobs that hold none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness import store
from harness.errors import UsageError
from harness.jobs.explain import Question, completed
from harness.jobs.failing_case import failing_case
from harness.records import Scope, Status
from tests.render import sample_reports

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Report


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without scenarios of ours."""
    monkeypatch.chdir(tmp_path)


def job(folder: Path, name: str) -> tuple[Path, Report]:
    """A job's folder with the comparisons of a sample report, and the report."""
    place = folder / "runs" / name
    place.mkdir(parents=True)
    report = sample_reports.BUILDERS[name](place)
    record = store.Job(state="finished", scenario=report.scenario, command=report.command)
    store.save(record, place / store.JOB_FILE)
    for number, comparison in enumerate(report.comparisons):
        store.save(comparison, place / f"comparison-{number}.json")
    return place, report


def test_the_worst_case_of_a_job_that_drifted_completes_the_question(tmp_path: Path) -> None:
    place, report = job(tmp_path, "drift")
    written(tmp_path / "deepgen-t2i.yaml", report)
    (drifted,) = (c for c in report.comparisons if c.scope is Scope.REFERENCE and c.outcome is Status.DRIFT)
    asked = completed(Question(path=place, arm=""))
    assert asked.path.absolute() == tmp_path / "deepgen-t2i.yaml"
    assert (asked.arm, asked.against) == (drifted.actual.arm, drifted.expected.arm)
    assert asked.case in {pair.key.case for pair in drifted.pairs}
    given = completed(Question(path=place, arm="", case="another", seed=7))
    assert (given.case, given.seed) == ("another", 7), "what was given stays"


def test_a_job_whose_scenario_was_edited_since_is_refused(tmp_path: Path) -> None:
    place, report = job(tmp_path, "drift")
    path = tmp_path / "deepgen-t2i.yaml"
    written(path, report)
    path.write_text(path.read_text(encoding="utf-8").replace('"steps": 20', '"steps": 21'), encoding="utf-8")
    with pytest.raises(UsageError, match="was edited after this job"):
        failing_case(place)


def written(path: Path, report: Report) -> None:
    """The scenario of a report as a file."""
    path.write_text(json.dumps(report.scenario.model_dump(mode="json", exclude_none=True)), encoding="utf-8")


def test_a_job_whose_scenario_is_not_here_is_refused(tmp_path: Path) -> None:
    place, _ = job(tmp_path, "drift")
    with pytest.raises(UsageError, match=r"its scenario was scenarios/deepgen-t2i\.yaml, and there is no such file"):
        failing_case(place)


def test_a_job_in_which_nothing_drifted_and_a_scenario_without_an_arm_are_refused(tmp_path: Path) -> None:
    place, _ = job(tmp_path, "within_limits")
    with pytest.raises(UsageError, match="found no comparison with a reference that drifted"):
        failing_case(place)
    (tmp_path / "port.yaml").touch()
    with pytest.raises(UsageError, match="--arm: found none"):
        completed(Question(path=tmp_path / "port.yaml", arm=""))


def test_an_arm_that_was_compared_with_what_is_no_arm_needs_one(tmp_path: Path) -> None:
    place, report = job(tmp_path, "drift")
    for number, comparison in enumerate(report.comparisons):
        expected = comparison.expected.model_copy(update={"arm": "elsewhere"})
        store.save(comparison.model_copy(update={"expected": expected}), place / f"comparison-{number}.json")
    with pytest.raises(UsageError, match="which is no arm of"):
        failing_case(place)
