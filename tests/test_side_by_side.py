"""Processes that run side by side make what they make one after the other, and nothing of them is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness.backends import cpu
from harness.records import ModelRef, Plan, Repeats
from harness.run import supervisor
from tests.command_line import environment, job_folder, patience_seconds, run_command
from tests.processes import started, wait_for, workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two processes need two cores to run side by side"),
]

CASES = [{"id": "circle", "prompt": "a blue circle"}, {"id": "star", "prompt": "a red star"}]
PORTABLE = {"name": "portable", "device": "cpu", "switches": "deterministic"}
AS_SHIPPED = {"name": "as-shipped", "device": "cpu", "noise": "device", "switches": "as_shipped"}
IN_EITHER_MODE = pytest.mark.parametrize(
    "arm", [pytest.param(PORTABLE, id="portable", marks=pytest.mark.nightly), pytest.param(AS_SHIPPED, id="as-shipped")]
)


def on_one_core(folder: Path, *words: str | Path) -> None:
    """Run ``harness`` where only one core may be used, and so one process at a time."""
    subprocess.run(
        [sys.executable, "-m", "harness", *map(str, words)],
        cwd=folder,
        env=environment(),
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        check=True,
        capture_output=True,
    )


def stored_runs(runs: Path) -> dict[str, dict[str, Any]]:
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in job_folder(runs).glob("*/run.json")
    }


def digests(run: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Bytes of image, float output, latents and noise of every sample."""
    return [
        (
            sample["key"],
            sample["process"],
            sample["repeat"],
            *(sample[name]["digest"] for name in ("image", "float_image", "latents")),
            sample["noise_digest"],
        )
        for sample in run["samples"]
    ]


@pytest.mark.parametrize(
    ("arm", "adapter"),
    [
        pytest.param(PORTABLE, "deepgen", marks=pytest.mark.nightly),
        pytest.param(AS_SHIPPED, "deepgen", marks=pytest.mark.nightly),
        (AS_SHIPPED, "planted-layers"),
    ],
    ids=["portable model", "model as shipped", "layers as shipped"],
)
def test_side_by_side_gives_the_bytes_of_one_after_the_other(
    arm: dict[str, str], adapter: str, tmp_path: Path, write_scenario: WriteScenario
) -> None:
    model = {"dtype": "bfloat16", "adapter": adapter}
    path = write_scenario(threads=1, arms=[arm], cases=CASES, repeats={"in_process": 1, "processes": 2}, model=model)
    together, alone = tmp_path / "together", tmp_path / "alone"
    subprocess.run(
        [sys.executable, "-m", "harness", "run", path, "--runs-dir", together],
        env=environment(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    on_one_core(tmp_path, "run", path, "--runs-dir", alone)
    beside, after = (stored_runs(runs)[arm["name"]] for runs in (together, alone))
    assert (beside["side_by_side"], after["side_by_side"]) == (2, 1)
    assert digests(beside) == digests(after)
    assert len({digest[3:] for digest in digests(beside)}) == len(CASES), "each case has one outcome"
    images = list(job_folder(together).glob("*/samples/*/*/*.png"))
    assert len(images) == len(CASES), "samples with the same bytes share a file, whichever process was first"


@IN_EITHER_MODE
def test_how_threads_wait_for_each_other_changes_no_bit(
    arm: dict[str, str], tmp_path: Path, write_scenario: WriteScenario
) -> None:
    path = write_scenario(
        threads=2, arms=[arm], model={"adapter": "planted-layers"}, repeats={"in_process": 1, "processes": 1}
    )
    made = {}
    for name, variables in (
        ("as by default", {}),
        ("spinning", {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "100000"}),
    ):
        run_command(tmp_path, "run", path, "--runs-dir", tmp_path / name, **variables)
        made[name] = stored_runs(tmp_path / name)[arm["name"]]
    calm, spinning = made.values()
    assert digests(calm) == digests(spinning)
    waiting = [
        {switch["name"]: switch["effective"] for switch in run["environment"]["switches"]}["GOMP_SPINCOUNT"]
        for run in (calm, spinning)
    ]
    assert waiting[0] in {cpu.FREE_TURNS, cpu.CROWDED_TURNS}
    assert waiting[1] == "100000", "what the user sets is kept"


def test_a_fault_that_depends_on_the_order_of_processes_is_still_found(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    """The test of a killed process is the harmless twin: there too two work at once, and they agree."""
    path = write_scenario(
        threads=1, model={"adapter": "planted-late-process"}, repeats={"in_process": 2, "processes": 2}
    )
    ended = run_harness("check", path, "--device", "cpu")
    assert ended.code == 6, ended.err
    assert stored_runs(tmp_path / "runs")["candidate"]["side_by_side"] == 2


def test_a_process_that_is_killed_is_replaced_and_its_neighbour_keeps_what_it_made(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario(
        threads=1, model={"adapter": "planted-killed-once"}, repeats={"in_process": 3, "processes": 2}
    )
    ended = run_harness("check", path, "--device", "cpu", "--retries", "1")
    assert ended.code == 0, ended.err
    run = stored_runs(tmp_path / "runs")["candidate"]
    assert run["side_by_side"] == 2
    assert run["failures"] == []
    assert [failure["process"] for failure in run["retried"]] == [0]
    made = [(sample["process"], sample["repeat"]) for sample in run["samples"]]
    assert len(made) == 6
    assert {process for process, _ in made} == {0, 1, 2}


def test_a_signal_ends_all_processes_and_the_same_command_goes_on(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario(threads=1, model={"adapter": "planted-slow"}, repeats={"in_process": 3, "processes": 2})
    with started(tmp_path, "check", path, "--device", "cpu") as process:
        wait_for(lambda: len(list(tmp_path.glob("runs/*/candidate/samples/*/*/p*.json"))) > 1, "two samples")
        assert len(workers(tmp_path)) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=patience_seconds()) == 130
    assert workers(tmp_path) == []
    ended = run_harness("check", path, "--device", "cpu")
    assert ended.code == 0, ended.err
    assert "resuming the interrupted job" in ended.err
    assert len(stored_runs(tmp_path / "runs")["candidate"]["samples"]) == 6


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def order(tmp_path: Path, write_scenario: WriteScenario) -> supervisor.Order:
    """An order of four processes with one thread each, on a CPU."""
    from harness import scenario
    from harness.run.sources import prepare

    question = scenario.load(write_scenario(threads=1, repeats={"in_process": 1, "processes": 4}))
    plan = scenario.plan(question, question.scenario.arms[0], device="cpu")
    return supervisor.Order(
        plan=plan,
        device=supervisor.named_device("cpu"),
        model=prepare(question.model_source, plan.model, tmp_path / "model"),
        input_images={},
        folder=tmp_path / "run",
        run_id="job/arm",
    )


def changed(order: supervisor.Order, **changes: Any) -> supervisor.Order:
    from dataclasses import replace

    plan: Plan = order.plan
    arm = plan.arm.model_copy(update={"threads": changes.pop("threads", plan.arm.threads)})
    repeats: Repeats = changes.pop("repeats", plan.repeats)
    model: ModelRef = plan.model
    return replace(order, plan=plan.model_copy(update={"arm": arm, "repeats": repeats, "model": model}), **changes)


def test_as_many_as_cores_processes_and_memory_allow(order: supervisor.Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(supervisor, "available_memory_bytes", lambda: 1 << 40)
    assert supervisor.at_once(order) == 4
    assert supervisor.at_once(changed(order, repeats=Repeats(in_process=1, processes=16))) == 8
    assert supervisor.at_once(changed(order, threads=3)) == 2
    assert supervisor.at_once(changed(order, threads=16)) == 1
    monkeypatch.setattr(supervisor, "available_memory_bytes", lambda: 5 << 30)
    assert supervisor.at_once(order) == 2
    monkeypatch.setattr(supervisor, "available_memory_bytes", lambda: 0)
    assert supervisor.at_once(order) == 1


def test_one_at_a_time_on_other_devices_and_where_no_number_of_threads_is_given(
    order: supervisor.Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(supervisor, "available_memory_bytes", lambda: 1 << 40)
    assert supervisor.at_once(changed(order, threads=None)) == 1
    assert supervisor.at_once(changed(order, device=supervisor.named_device("npu"))) == 1
