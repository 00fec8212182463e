"""The baselines of this repository are whole, small, and comparable with what today's code makes.

They may have been made on a device that is not to be had again: whatever changes in digests, identities or metrics, a
baseline that was accepted before must stay comparable, and this file must pass unchanged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness import scenario
from harness.store import baselines
from harness.yaml_tree import json_of, read_tree
from tests.command_line import ROOT, job_folder, run_command

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "baselines"
NAMES = baselines.names(FOLDER)
LARGEST_BYTES, LARGEST_BYTES_IN_ALL = 3_000_000, 8_000_000
NEAR_DB = 100
"""A float32 reference travels: other instruction sets were 136 dB apart or more, 8 bits see nothing above 60."""


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_there_are_baselines_of_what_the_first_command_and_the_gate_use() -> None:
    assert set(NAMES) >= {"tiny-quick-t2i/cpu-fp32", "tiny-quick-edit/cpu-fp32", "tiny-baseline/cpu-fp32"}


def test_they_are_small() -> None:
    assert [folder.name for folder in FOLDER.iterdir() if size_bytes(folder) > LARGEST_BYTES] == []
    assert size_bytes(FOLDER) <= LARGEST_BYTES_IN_ALL


@pytest.mark.parametrize("name", NAMES)
def test_each_is_whole_and_asks_what_its_scenario_asks(name: str) -> None:
    baseline = baselines.read(FOLDER, name)
    question = scenario.load(ROOT / "scenarios" / f"{baseline.manifest.scenario}.yaml")
    assert baseline.manifest.scenario_digest == question.digest
    assert {(sample.key.case, sample.key.seed) for sample in baseline.run.samples} == {
        (case.id, seed) for case in question.scenario.cases for seed in question.scenario.seeds
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_today_s_code_makes_in_float32_is_the_same_to_the_eye_and_far_beyond(name: str, tmp_path: Path) -> None:
    asked, _, arm = name.partition("/")
    question = json.loads(json_of(read_tree(ROOT / "scenarios" / f"{asked}.yaml")[0]))
    for case in question["cases"]:
        if "input_image" in case:
            case["input_image"] = str(ROOT / "scenarios" / case["input_image"])
    question["arms"] = [
        {"name": "today", "device": "cpu", "dtype": "float32"},
        *(given for given in question["arms"] if given["name"] == arm),
    ]
    question["repeats"] = {"in_process": 1, "processes": 1}
    question["limits"] = [
        {
            "metric": "psnr_db",
            "subject": "float_image",
            "scope": "reference",
            "at_least": NEAR_DB,
            "reason": "A float32 reference travels between machines.",
        }
    ]
    question.pop("translations", None)
    path = tmp_path / f"{asked}.yaml"
    path.write_text(json.dumps(question), encoding="utf-8")
    ended = run_command(tmp_path, "check", path, "--baselines-dir", FOLDER)
    assert ended.code == 0, ended.out + ended.err
    found = json.loads(
        (job_folder(tmp_path / "runs") / f"comparison-reference-today-against-{arm}.json").read_text(encoding="utf-8")
    )
    assert found["differences"] == []
    assert len(found["pairs"]) == len(question["cases"]) * len(question["seeds"])
