"""Every way a run can go wrong ends in its own verdict and exit code: each fault is planted and seen."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import growing_limits, read_json, with_texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import Ended, RunHarness, WriteScenario

pytestmark = pytest.mark.slow

AUTO = [{"name": "candidate"}]
"""The arm of a scenario that names none."""


def outcome(folder: Path, arm: str = "candidate") -> dict[str, Any]:
    found: dict[str, Any] = read_json(folder / f"comparison-repeat-{arm}.json")
    return found


def test_without_a_fault_it_passes(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    ended = run_harness("check", write_scenario(switches="deterministic", model={"dtype": "bfloat16"}, arms=AUTO))
    assert ended.code == 0, ended.err
    comparison = outcome(only_job())
    assert comparison["outcome"] == "identical"
    assert comparison["repetitions"][0]["runs"] == 2
    assert len(comparison["repetitions"][0]["outcomes"]) == 1
    for name in ("report.md", "index.html", "report.json", "junit.xml", "metrics.csv", "summary.md"):
        assert (only_job() / "report" / name).stat().st_size > 0


FAULTS = {
    # fault: (exit code, word, what the message must say, repeats in one process)
    "planted-drift": (6, "unstable", "changes within a process, first at p0r2", 4),
    "planted-two-modes": (6, "unstable", "two modes", 4),
    "planted-other-noise": (7, "not_comparable", "p0r1 had other noise than p0r0", 2),
    "planted-load-crash": (3, "error", "load failed: MemoryError: planted: no memory left", 2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_ends_in_its_own_verdict_and_no_result_is_retried(
    fault: str, run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    code, word, message, repeats = FAULTS[fault]
    path = write_scenario(model={"adapter": fault}, repeats={"in_process": repeats, "processes": 1})
    require_verdict(run_harness("check", path, "--retries", "3"), only_job(), code, word, message)
    require_no_retry(only_job())


OUTPUTS = {
    "nan": "1 of 12288 values that are NaN or infinite",
    "nan-latents": "3072 of 12288 values (25.0%) in the latents after step 2 are NaN",
    "nan-frames": "1 of 384 values (0.3%) in the output of vae are NaN or infinite",
    "silent-noise": "its noise can be neither injected nor logged",
    "wrong-size": "the pipeline returned uint8[32, 64, 3]; expected uint8[64, 64, 3]",
}


def test_each_wrong_output_is_a_failure_of_its_case_and_what_is_right_is_made(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    cases = [{"id": name, "prompt": name} for name in (*OUTPUTS, "healthy")]
    path = write_scenario(model={"adapter": "planted-outputs"}, cases=cases)
    ended = run_harness("check", path, "--retries", "3")
    require_verdict(ended, only_job(), 3, "error", OUTPUTS["nan"])
    require_no_retry(only_job())
    run = read_json(only_job() / "candidate" / "run.json")
    assert {sample["key"]["case"] for sample in run["samples"]} == {"healthy"}
    said: dict[str, set[str]] = {}
    for failure in run["failures"]:
        said.setdefault(failure["key"]["case"], set()).add(failure["message"])
    assert said.keys() == OUTPUTS.keys()
    for name, message in OUTPUTS.items():
        assert all(message in words for words in said[name]), (name, said[name])


def require_no_retry(job: Path) -> None:
    run = read_json(job / "candidate" / "run.json")
    assert run["retried"] == []
    assert {sample["process"] for sample in run["samples"]} <= {0}


def require_verdict(ended: Ended, job: Path, code: int, word: str, message: str) -> None:
    assert ended.code == code, ended.err
    comparison = outcome(job)
    assert comparison["outcome"] == word
    assert message in comparison["message"]
    heading = (job / "report" / "report.md").read_text(encoding="utf-8").partition("\n")[0]
    assert heading.startswith(f"# {word.replace('_', ' ').upper()}: small")


def test_a_hang_is_ended_at_its_time_limit(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path], tmp_path: Path
) -> None:
    for seconds in growing_limits(starts=8):
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        ended = run_harness("check", write_scenario(model={"adapter": "planted-hang"}, time_limit_seconds=seconds))
        assert ended.code == 3
        failure = outcome(only_job())["failures"][0]
        assert failure["error"] == "ended at its time limit"
        assert f"time_limit_seconds: {seconds}" in failure["message"]
        if "planted: now it hangs" in failure["traceback"]:
            return
    pytest.fail("however long the limit was, the pipeline did not come to its hang")


def test_a_killed_child_leaves_its_last_words_and_what_it_made_and_is_not_retried_unasked(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    path = write_scenario(model={"adapter": "planted-killed"}, repeats={"in_process": 3, "processes": 2})
    require_verdict(run_harness("check", path), only_job(), 3, "error", "killed by signal 9")
    run = read_json(only_job() / "candidate" / "run.json")
    assert run["state"] == "finished"
    assert [(sample["process"], sample["repeat"]) for sample in run["samples"]] == [(0, 0)]
    assert [failure["process"] for failure in run["failures"]] == [0], "no second process is started after a crash"
    assert "planted: the last words" in run["failures"][0]["traceback"]
    assert run["retried"] == [], "nothing is retried unless it is asked for"


def test_a_crash_shows_no_secret_no_home_folder_and_no_escape_code(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    path = write_scenario(model={"adapter": "planted-crash"}, repeats={"in_process": 3, "processes": 1})
    ended = run_harness("check", path, "--retries", "3")
    require_verdict(ended, only_job(), 3, "error", "planted crash")
    require_no_retry(only_job())
    stored = (only_job() / "candidate" / "run.json").read_text(encoding="utf-8")
    for text in (ended.out, ended.err, stored, (only_job() / "report" / "index.html").read_text(encoding="utf-8")):
        assert "hf_abcdefgh" not in text
        assert "\x1b[31m" not in text
    failure = with_texts(json.loads(stored))["failures"][0]
    assert "planted crash in ~/model" in failure["message"]
    assert "Traceback" in failure["traceback"]


def test_a_draw_that_nobody_controls_is_told_and_bars_a_reference(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    arms = [{"name": "candidate", "device": "cpu"}, {"name": "reference", "role": "reference", "device": "cpu"}]
    limits = [{"metric": "psnr_db", "scope": "reference", "at_least": 10, "reason": "Only for this test."}]
    ended = run_harness("check", write_scenario(model={"adapter": "planted-hidden-draw"}, arms=arms, limits=limits))
    assert ended.code == 7, ended.err
    text = (only_job() / "comparison-reference-candidate-against-reference.json").read_text(encoding="utf-8")
    assert json.loads(text)["outcome"] == "not_comparable"
    assert "torch.rand was called" in text


def test_a_switch_that_is_not_in_force_fails_the_run(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    ended = run_harness("check", write_scenario(model={"adapter": "planted-toy"}), "--device", "planted-switch")
    assert ended.code == 3, ended.err
    assert "PLANTED_SWITCH was set to 'on' before the start but is 'off'" in outcome(only_job())["message"]
