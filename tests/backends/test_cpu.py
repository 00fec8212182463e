"""How long threads wait for each other follows what this process gets of its cores; torch is not needed to ask."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.backends import cpu
from harness.records import Switch, SwitchMode
from tests.command_line import patience_seconds
from tests.compare.stored_runs import environment

COMPUTE = "import os; os.sched_setaffinity(0, {CORE}); print(flush=True)\nwhile True: pass"
MEASURE = """
import os
os.sched_setaffinity(0, {CORE})
from harness.backends import cpu
print(cpu.share_of_cores(), cpu.waiting()["GOMP_SPINCOUNT"])
"""


def test_beside_processes_that_compute_threads_wait_for_less_long() -> None:
    core = min(os.sched_getaffinity(0))
    words = [sys.executable, "-c", COMPUTE.replace("CORE", str(core))]
    neighbours = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for neighbour in neighbours:
            assert neighbour.stdout is not None
            neighbour.stdout.readline()
        variables = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
        told = subprocess.run(
            [sys.executable, "-c", MEASURE.replace("CORE", str(core))],
            env=variables,
            check=True,
            capture_output=True,
            text=True,
            timeout=patience_seconds(),
        ).stdout.split()
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.communicate()
    assert 0 < float(told[0]) < 0.7, "a quarter is its due"
    assert told[1] == cpu.CROWDED_TURNS


@pytest.mark.parametrize(
    ("share", "turns"), [(1.0, cpu.FREE_TURNS), (0.9, cpu.FREE_TURNS), (0.75, cpu.CROWDED_TURNS), (0.2, "1000")]
)
def test_who_gets_the_cores_waits_awake(share: float, turns: str) -> None:
    assert cpu.turns(share) == turns


def test_what_the_user_sets_is_kept_and_a_process_chooses_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    chosen = [cpu.start_environment(SwitchMode.AS_SHIPPED)["GOMP_SPINCOUNT"] for _ in range(20)]
    assert len(set(chosen)) == 1
    monkeypatch.setenv("GOMP_SPINCOUNT", "77")
    assert cpu.start_environment(SwitchMode.AS_SHIPPED)["GOMP_SPINCOUNT"] == "77"


def test_only_switches_that_can_move_a_number_make_another_environment() -> None:
    def digest(name: str, value: str, source: str) -> str:
        switch = Switch.model_validate({"name": name, "requested": value, "effective": value, "source": source})
        return environment().model_copy(update={"switches": [switch]}).digest

    assert digest("GOMP_SPINCOUNT", "5000", "backend") == digest("GOMP_SPINCOUNT", "1000", "backend")
    assert digest("OMP_NUM_THREADS", "1", "scenario") != digest("OMP_NUM_THREADS", "2", "scenario")
    assert digest("OMP_NUM_THREADS", "1", "default") != digest("OMP_NUM_THREADS", "2", "environment")
