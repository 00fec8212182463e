"""An interrupted job leaves no orphan, is never taken for a finished one, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import job_folder, patience_seconds, read_json, scenario_in
from tests.processes import DISPOSITIONS, started, wait_for, workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import MadeOnce, RunHarness, WriteScenario

pytestmark = pytest.mark.slow


def samples(folder: Path) -> list[Path]:
    return sorted(folder.glob("runs/*/candidate/samples/*/*/p*.json"))


def has_more(folder: Path, count: int) -> bool:
    return len(samples(folder)) > count


def slow_scenario(write_scenario: WriteScenario, in_process: int = 4) -> Path:
    return write_scenario(model={"adapter": "planted-slow"}, repeats={"in_process": in_process, "processes": 1})


def stored_run(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = read_json(job_folder(folder / "runs") / "candidate" / "run.json")
    return run


def test_each_signal_ends_the_children_and_the_same_command_goes_on(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    path = write_scenario(model={"adapter": "planted-slow-thrice"}, repeats={"in_process": 8, "processes": 1})
    kept: dict[Path, int] = {}
    for interruptions, number in enumerate(signals):
        with started(tmp_path, "check", path) as process:
            wait_for(partial(has_more, tmp_path, len(kept)), "a sample")
            assert workers(tmp_path), "the test must see the worker it looks for"
            half = samples(tmp_path)[0].with_name(".0123456789abcdef.part")
            half.write_bytes(b"what a worker leaves that is ended while it writes")
            os.kill(process.pid, number)
            assert process.wait(timeout=patience_seconds()) == 130
            assert process.stderr is not None
            said = process.stderr.read()
            assert f"stopped by {number.name}" in said
            assert ("resuming the interrupted job" in said) == bool(interruptions)
        assert workers(tmp_path) == []
        assert not half.exists()
        assert stored_run(tmp_path)["state"] == "unfinished"
        made = {each: each.stat().st_mtime_ns for each in samples(tmp_path)}
        assert made.items() >= kept.items()
        kept = made
    assert len(kept) < 8, "the last command has something left to do"

    ended = run_harness("check", path)
    assert ended.code == 0, ended.err
    assert "resuming the interrupted job" in ended.err
    assert {each: each.stat().st_mtime_ns for each in kept} == kept
    run = stored_run(tmp_path)
    assert run["state"] == "finished"
    assert len(run["samples"]) == 8
    assert {sample["process"] for sample in run["samples"]} == {0, 1, 2, 3}, "new samples have a new process index"
    repetition = read_json(job_folder(tmp_path / "runs") / "comparison-repeat-candidate.json")
    assert repetition["repetitions"][0]["processes"] == 4


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


@pytest.fixture(scope="module")
def unfinished(made_once: MadeOnce) -> Path:
    """A folder with a run that SIGTERM ended, and how that ended; it was to ignore the signals that a shell sends."""

    def fill(folder: Path) -> None:
        path = slow_scenario(partial(scenario_in, folder), in_process=400)
        with started(folder, "run", path, ignored=list(DISPOSITIONS)) as process:
            wait_for(lambda: samples(folder), "the first sample")
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=patience_seconds())
            assert process.stderr is not None
            said = process.stderr.read()
        ended = {"code": code, "said": said, "workers": workers(folder)}
        (folder / "ended.json").write_text(json.dumps(ended), encoding="utf-8")

    return made_once("interrupted run", fill)


def test_sigterm_ends_the_job_even_if_it_was_ignored_from_the_start(unfinished: Path) -> None:
    ended = read_json(unfinished / "ended.json")
    assert ended["code"] == 130
    assert "stopped by SIGTERM" in ended["said"]
    assert ended["workers"] == []
    assert stored_run(unfinished)["state"] == "unfinished"


def test_an_unfinished_run_is_not_compared(unfinished: Path, run_harness: RunHarness) -> None:
    folder = job_folder(unfinished / "runs") / "candidate"
    ended = run_harness("compare", folder, folder)
    assert ended.code == 2
    assert "unfinished run" in ended.err
    assert "give the same command again" in ended.err


def test_another_question_does_not_go_on_with_an_interrupted_job(
    unfinished: Path, tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    shutil.copytree(unfinished / "runs", tmp_path / "runs")
    ended = run_harness("run", slow_scenario(write_scenario, in_process=1))
    assert ended.code == 0, ended.err
    assert "resuming" not in ended.err
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_job_that_somebody_works_on_is_left_alone_and_what_was_ignored_from_the_start_does_not_end_it(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    """Under nohup a lost connection goes by, and so does, in the background of a script, the foreground's Ctrl-C."""
    path = slow_scenario(write_scenario, in_process=2)
    with started(tmp_path, "run", path, ignored=[signal.SIGHUP, signal.SIGINT]) as process:
        wait_for(lambda: samples(tmp_path), "the first sample")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        ended = run_harness("run", path)
        assert ended.code == 0, ended.err
        assert process.wait(timeout=patience_seconds()) == 0
    jobs = sorted((tmp_path / "runs").iterdir())
    assert len(jobs) == 2
    assert [len(read_json(job / "candidate" / "run.json")["samples"]) for job in jobs] == [2, 2]
