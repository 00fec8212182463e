"""One machine poses as two: a baseline is made in one folder, packed, and judged by in another, as if far away."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from harness.records import Report, Run, from_json
from tests.command_line import ROOT, run_command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import Ended, MadeOnce

pytestmark = pytest.mark.slow

WHOLE: dict[str, Any] = YAML(typ="safe").load((ROOT / "scenarios" / "tiny-baseline.yaml").read_text("utf-8"))
SCENARIO = {**WHOLE, "seeds": [42], "cases": WHOLE["cases"][:1]}
"""The limits were calibrated for this size and number of steps."""
FILE = "tiny-baseline.yaml"
NAME = "tiny-baseline/cpu-fp32"
SELECTED = ("--seed", "42", "--device", "cpu")
TOY: dict[str, Any] = {
    **{name: SCENARIO[name] for name in ("name", "summary", "task", "cases", "seeds", "arms", "repeats")},
    "model": {**SCENARIO["model"], "adapter": "planted-toy"},
    "width": 64,
    "height": 64,
    "steps": 2,
    "switches": "as_shipped",
    "limits": [
        SCENARIO["limits"][0],
        {"metric": "psnr_db", "scope": "reference", "at_least": 25, "reason": "Half the light costs far more."},
    ],
}
"""For faults that have nothing to do with the model."""


@dataclass(frozen=True)
class Machine:
    """A folder that shares nothing with another one."""

    folder: Path
    scenario: dict[str, Any]

    def write(self, **changes: Any) -> None:
        """Put the scenario there; keywords replace its fields."""
        text = json.dumps({**self.scenario, **changes}, indent=1)  # what is JSON is YAML too
        (self.folder / FILE).write_text(text, encoding="utf-8")

    def give(self, *words: str | Path) -> Ended:
        """Give a command there."""
        return run_command(self.folder, *words)


def machine(folder: Path, scenario: dict[str, Any]) -> Machine:
    folder.mkdir()
    made = Machine(folder, scenario)
    made.write()
    return made


@pytest.fixture(scope="module")
def pack(made_once: MadeOnce) -> Path:
    """The baseline of this repository, which another machine made, as the first machine packs it."""

    def fill(folder: Path) -> None:
        first = machine(folder / "work", SCENARIO)
        shutil.copytree(ROOT / "baselines" / NAME, first.folder / "baselines" / NAME)
        packed = first.give("baseline", "pack", NAME, "--out", "packed.zip")
        assert packed.code == 0, packed.err

    return made_once("first-machine", fill) / "work" / "packed.zip"


@pytest.fixture(scope="module")
def toy_pack(made_once: MadeOnce) -> Path:
    """A baseline of the toy, packed."""
    return made_once("first-machine-toy", make_and_pack) / "work" / "packed.zip"


def make_and_pack(folder: Path) -> None:
    first = machine(folder / "work", TOY)
    made = first.give("run", FILE, "--arm", "cpu-fp32")
    assert made.code == 0, made.err
    accepted = first.give("baseline", "accept", made.out.strip(), "--reason", "Float32 on the CPU is the reference.")
    assert accepted.code == 0, accepted.err
    packed = first.give("baseline", "pack", NAME, "--out", "packed.zip")
    assert packed.code == 0, packed.err
    assert accepted.out.split()[-1] == packed.out.split()[-1], "both print the digest of the manifest"


def report_in(folder: Path) -> Report:
    return from_json(Report, (folder / "report.json").read_text(encoding="utf-8"), place="report.json")


def unpacked(second: Machine, pack: Path) -> None:
    (second.folder / "carried.zip").write_bytes(pack.read_bytes())
    ended = second.give("baseline", "unpack", "carried.zip")
    assert ended.code == 0, ended.err


def test_a_baseline_is_carried_over_and_the_candidate_is_judged_by_it(pack: Path, tmp_path: Path) -> None:
    second = machine(tmp_path / "second", SCENARIO)
    assert second.give("doctor", "--baseline", FILE, "--device", "cpu").code == 4, "there is no baseline yet"
    unpacked(second, pack)
    assert second.give("doctor", "--baseline", FILE, "--device", "cpu").code == 0
    checked = second.give("check", FILE, *SELECTED)
    assert checked.code == 0, checked.out + checked.err
    job = max((second.folder / "runs").iterdir())
    comparisons = sorted(job.glob("comparison-*.json"))
    assert [path.name for path in comparisons] == [
        "comparison-reference-candidate-against-cpu-fp32.json",
        "comparison-repeat-candidate.json",
    ]
    runs = [from_json(Run, (job / arm / "run.json").read_text("utf-8"), place=arm) for arm in ("candidate", "cpu-fp32")]
    schedules = [sample.schedule for run in runs for sample in run.samples]
    assert schedules[0] is not None
    assert all(schedule == schedules[0] for schedule in schedules)
    assert second.give("gate", *comparisons).code == 0
    written = second.give("report", *comparisons, "--out", "again", "--format", "html,md,json,junit,csv,summary")
    assert written.code == 0, written.err
    again, first = (report_in(folder) for folder in (second.folder / "again", job / "report"))
    assert again.outcome == first.outcome == "within_limits"
    assert sorted(again.comparisons, key=str) == sorted(first.comparisons, key=str)


FAULTS: dict[str, tuple[int, str, dict[str, Any]]] = {
    # what is wrong on the second machine: (exit code, word, how the scenario says so)
    "darker pictures": (1, "DRIFT", {"model": {**TOY["model"], "adapter": "planted-toy-darker"}}),
    "a picture that changes": (
        6,
        "UNSTABLE",
        {
            "model": {**TOY["model"], "adapter": "planted-drift"},
            "repeats": {"in_process": 3, "processes": 1},
        },
    ),
    "noise of its own": (
        7,
        "NOT COMPARABLE",
        {"arms": [{"name": "candidate", "noise": "device"}, SCENARIO["arms"][1]]},
    ),
    "other steps": (7, "NOT COMPARABLE", {"steps": 4}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_the_second_machine_ends_in_its_own_exit_code(fault: str, toy_pack: Path, tmp_path: Path) -> None:
    code, word, changes = FAULTS[fault]
    second = machine(tmp_path / "second", TOY)
    unpacked(second, toy_pack)
    second.write(**changes)
    ended = second.give("check", FILE, *SELECTED)
    assert ended.code == code, ended.out + ended.err
    assert word in ended.out
    assert second.give("gate", *max((second.folder / "runs").iterdir()).glob("comparison-*.json")).code == code
