"""An interrupted job leaves no orphan, is never taken for a finished one, and goes on where it stopped."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import job_folder, patience_seconds, read_json
from tests.processes import DISPOSITIONS, started, wait_for, workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

pytestmark = pytest.mark.slow


def samples(folder: Path) -> list[Path]:
    return sorted(folder.glob("runs/*/candidate/samples/*/*/p*.json"))


def slow_scenario(write_scenario: WriteScenario, in_process: int = 4) -> Path:
    return write_scenario(model={"adapter": "planted-slow"}, repeats={"in_process": in_process, "processes": 1})


def stored_run(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = read_json(job_folder(folder / "runs") / "candidate" / "run.json")
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_children_and_the_same_command_goes_on(
    number: signal.Signals, tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = slow_scenario(write_scenario)
    with started(tmp_path, "check", path) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        assert workers(tmp_path), "the test must see the worker it looks for"
        half = samples(tmp_path)[0].with_name(".0123456789abcdef.part")
        half.write_bytes(b"what a worker leaves that is ended while it writes")
        os.kill(process.pid, number)
        assert process.wait(timeout=patience_seconds()) == 130
        assert process.stderr is not None
        assert f"stopped by {number.name}" in process.stderr.read()
    assert workers(tmp_path) == []
    assert not half.exists()
    assert stored_run(tmp_path)["state"] == "unfinished"
    kept = {each: each.stat().st_mtime_ns for each in samples(tmp_path)}

    ended = run_harness("check", path)
    assert ended.code == 0, ended.err
    assert "resuming the interrupted job" in ended.err
    assert {each: each.stat().st_mtime_ns for each in kept} == kept
    run = stored_run(tmp_path)
    assert run["state"] == "finished"
    assert len(run["samples"]) == 4
    assert {sample["process"] for sample in run["samples"]} == {0, 1}, "new samples have a new process index"
    repetition = read_json(job_folder(tmp_path / "runs") / "comparison-repeat-candidate.json")
    assert repetition["repetitions"][0]["processes"] == 2


def test_a_failure_before_an_interruption_stays_on_record(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario(model={"adapter": "planted-slow-crash"}, repeats={"in_process": 4, "processes": 1})
    with started(tmp_path, "check", path) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=patience_seconds())
    ended = run_harness("check", path)
    assert "resuming the interrupted job" in ended.err
    assert ended.code == 3, "a crash is not forgotten because the job was interrupted"
    run = stored_run(tmp_path)
    assert len(run["samples"]) == 4
    assert [failure["message"] for failure in run["failures"]] == ["planted: crashed once"]


def test_after_kill_9_the_worker_notices_and_ends(tmp_path: Path, write_scenario: WriteScenario) -> None:
    path = slow_scenario(write_scenario, in_process=400)
    with started(tmp_path, "run", path) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        assert workers(tmp_path), "the test must see the worker it looks for"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=patience_seconds())
        wait_for(lambda: not workers(tmp_path), "the orphan to end")
    assert stored_run(tmp_path)["state"] == "unfinished"


def test_an_unfinished_run_is_not_compared(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = slow_scenario(write_scenario, in_process=400)
    with started(tmp_path, "run", path) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=patience_seconds())
    folder = job_folder(tmp_path / "runs") / "candidate"
    ended = run_harness("compare", folder, folder)
    assert ended.code == 2
    assert "unfinished run" in ended.err
    assert "give the same command again" in ended.err


def test_another_question_does_not_go_on_with_an_interrupted_job(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    with started(tmp_path, "run", slow_scenario(write_scenario, in_process=400)) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=patience_seconds())
    ended = run_harness("run", slow_scenario(write_scenario, in_process=1))
    assert ended.code == 0, ended.err
    assert "going on" not in ended.err
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_job_that_somebody_works_on_is_left_alone(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = slow_scenario(write_scenario, in_process=2)
    with started(tmp_path, "run", path) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        ended = run_harness("run", path)
        assert ended.code == 0, ended.err
        assert process.wait(timeout=patience_seconds()) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_what_was_ignored_from_the_start_does_not_end_the_job(tmp_path: Path, write_scenario: WriteScenario) -> None:
    """Under nohup a lost connection goes by, and so does, in the background of a script, the foreground's Ctrl-C."""
    path = slow_scenario(write_scenario, in_process=2)
    with started(tmp_path, "run", path, ignored=[signal.SIGHUP, signal.SIGINT]) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=patience_seconds()) == 0
    assert len(stored_run(tmp_path)["samples"]) == 2


def test_sigterm_ends_the_job_even_if_it_was_ignored_from_the_start(
    tmp_path: Path, write_scenario: WriteScenario
) -> None:
    path = slow_scenario(write_scenario, in_process=400)
    with started(tmp_path, "run", path, ignored=list(DISPOSITIONS)) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=patience_seconds()) == 130
        assert process.stderr is not None
        assert "stopped by SIGTERM" in process.stderr.read()
    assert workers(tmp_path) == []
    assert stored_run(tmp_path)["state"] == "unfinished"
