"""Failures of the machine may be retried and stay on record; that results never are, test_planted_faults.py tells."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from harness.records import EndedBy, Failure
from harness.run.supervisor import is_infrastructure
from tests.command_line import growing_limits, read_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import Ended, RunHarness, WriteScenario


def stored_run(job: Path) -> dict[str, Any]:
    run: dict[str, Any] = read_json(job / "candidate" / "run.json")
    return run


ONCE: dict[str, tuple[str, str]] = {
    # what the record says of the cause: (adapter, device)
    "killed by signal 9": ("planted-killed-once", "cpu"),
    "the device is in use by another process": ("planted-killed-once", "planted-busy"),
}


@pytest.mark.slow
@pytest.mark.parametrize("cause", ONCE)
def test_a_failure_of_the_machine_is_retried_and_stays_on_record(
    cause: str, run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    adapter, device = ONCE[cause]
    path = write_scenario(model={"adapter": adapter}, repeats={"in_process": 3, "processes": 1})
    require_retried(run_harness("check", path, "--retries", "1", "--device", device), only_job(), cause)


@pytest.mark.slow
def test_a_hang_is_retried_and_stays_on_record(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path], tmp_path: Path
) -> None:
    for seconds in growing_limits(starts=8):
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        repeats = {"in_process": 3, "processes": 1}
        path = write_scenario(model={"adapter": "planted-hang-once"}, repeats=repeats, time_limit_seconds=seconds)
        ended = run_harness("check", path, "--retries", "1")
        if len(stored_run(only_job())["samples"]) == 3:
            require_retried(ended, only_job(), "ended at its time limit")
            return
    pytest.fail("however long the limit was, the second process did not make its pictures")


def require_retried(ended: Ended, job: Path, cause: str) -> None:
    assert ended.code == 0, ended.err
    assert "retried after: " in ended.err
    run = stored_run(job)
    assert run["failures"] == []
    assert [cause in failure["message"] for failure in run["retried"]] == [True]
    assert len(run["samples"]) == 3
    report = job / "report"
    for name in ("report.md", "index.html", "junit.xml", "summary.md"):
        assert cause in (report / name).read_text(encoding="utf-8")
    assert "--retries 1" in (report / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_retries_are_counted(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    path = write_scenario(model={"adapter": "planted-killed"}, repeats={"in_process": 3, "processes": 2})
    assert run_harness("check", path, "--retries", "2").code == 3
    run = stored_run(only_job())
    assert [failure["process"] for failure in run["retried"]] == [0, 1]
    assert [failure["process"] for failure in run["failures"]] == [2]
    assert [(sample["process"], sample["repeat"]) for sample in run["samples"]] == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.slow
def test_a_retry_does_not_wash_away_a_drift_that_would_vanish(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    path = write_scenario(model={"adapter": "planted-drift-then-killed"}, repeats={"in_process": 5, "processes": 1})
    ended = run_harness("check", path, "--retries", "1")
    assert ended.code == 6, ended.err
    run = stored_run(only_job())
    assert len(run["retried"]) == 1
    assert [sample["process"] for sample in run["samples"]] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("stage", "error", "retried"),
    [
        ("process", EndedBy.SIGNAL, True),
        ("process", EndedBy.TIME_LIMIT, True),
        ("process", EndedBy.ITSELF, False),
        ("start", "DeviceUnavailable", True),
        ("start", "RuntimeError", True),
        ("start", "RunError", False),  # a switch that is not in force
        ("start", "NotCovered", False),
        ("load", "OutOfMemoryError", False),
        ("generate", "OutOfMemoryError", False),
        ("generate", "RuntimeError", False),
        ("output", "BadOutput", False),
        ("environment", "EnvironmentChanged", False),
    ],
)
def test_what_belongs_to_the_machine(stage: str, error: str, *, retried: bool) -> None:
    ended_by = error if isinstance(error, EndedBy) else None
    failure = Failure(
        stage=stage, key=None, process=0, repeat=None, error=error, ended_by=ended_by, message="killed by signal 9"
    )
    assert is_infrastructure(failure) is retried
