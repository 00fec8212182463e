"""Overlays, waivers and ratios through the real command line, on a pipeline that differs by precision alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import job_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

ROUNDED = {"adapter": "planted-rounded"}
ONCE = {"in_process": 1, "processes": 1}
ARMS = [
    {"name": "candidate", "device": "cpu", "dtype": "bfloat16"},
    {"name": "fp32", "role": "reference", "device": "cpu", "dtype": "float32", "repeats": ONCE},
    {"name": "other", "role": "reference", "device": "cpu", "dtype": "bfloat16", "repeats": ONCE},
]
REPEAT = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "Repeats are promised to be equal."}
CAP = {"metric": "mse", "scope": "reference", "at_most": 60000, "reason": "A cap for this test only."}
RATIO = {
    "metric": "mse",
    "scope": "reference",
    "arm": "fp32",
    "ratio_to": "other",
    "at_most": 1,
    "reason": "The other arm computes the same, so the errors are equal.",
}
TIGHT = {"metric": "psnr_db", "scope": "reference", "arm": "fp32", "at_least": 99, "reason": "For this test only."}


def waiver(**changes: Any) -> dict[str, Any]:
    given = {"metric": "psnr_db", "scope": "reference", "reason": "Known and being mended."}
    return {**given, "owner": "Ann", "expires": "2999-12-31", **changes}


@pytest.mark.slow
def test_overlays_waivers_and_ratios_are_judged_and_judged_again(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario(
        model=ROUNDED, arms=ARMS, limits=[REPEAT, CAP, RATIO, TIGHT], waivers=[waiver(), waiver(metric="mse")]
    )
    assert run_harness("validate", path).code == 0
    ended = run_harness("check", path)
    assert ended.code == 0, ended.out + ended.err
    assert "broken and waived" in " ".join(ended.out.split())
    assert "dual_ratio 1," in ended.out
    assert "note: the waiver of mse, reference by Ann is unused; remove it" in ended.out

    job = job_folder(tmp_path / "runs")
    stored = job / "comparison-reference-candidate-against-fp32.json"
    assert json.loads(stored.read_text())["outcome"] == "waived"
    assert not (job / "comparison-reference-other-against-fp32.json").exists(), "a yardstick is measured, not judged"
    assert "Known and being mended." in (job / "report" / "report.md").read_text(encoding="utf-8")

    def gate(**changes: Any) -> tuple[int, str]:
        limits = {"limits": [REPEAT, CAP, RATIO, TIGHT], "waivers": [waiver()], **changes}
        done = run_harness("gate", stored, "--scenario", write_scenario(model=ROUNDED, arms=ARMS, **limits))
        return done.code, " ".join(done.out.split())

    assert gate()[0] == 0
    code, said = gate(waivers=[waiver(expires="2020-02-29")])
    assert code == 1
    assert "A waiver by Ann expired on 2020-02-29." in said
    code, said = gate(limits=[REPEAT, CAP, {**RATIO, "at_most": 0.5}, TIGHT])
    assert code == 1
    assert "dual_ratio 1, root mean square over 1 pair, worst circle, seed 42 with 1" in said
    code, said = gate(limits=[REPEAT, CAP, TIGHT, {**TIGHT, "device": "cpu", "at_least": 1}], waivers=[])
    assert code == 0, "the overlay for the CPU is the better match"
    assert gate(limits=[REPEAT, CAP, TIGHT, {**TIGHT, "device": "npu", "at_least": 1}], waivers=[])[0] == 1

    alone = run_harness("compare", job / "candidate", job / "fp32", "--out", tmp_path / "alone.json")
    assert alone.code == 3
    assert "other was not compared with fp32" in " ".join(alone.out.split())
    words = ("compare", job / "candidate", job / "fp32", "--ratio-to", job / "other", "--out", tmp_path / "with.json")
    assert run_harness(*words).code == 0


def test_a_ratio_without_a_cap_is_refused_before_anything_runs(
    run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    ended = run_harness("validate", write_scenario(arms=ARMS, limits=[REPEAT, RATIO]))
    assert ended.code == 2
    assert "found a limit on a ratio alone" in " ".join(ended.err.split())
