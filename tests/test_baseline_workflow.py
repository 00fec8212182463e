"""The life of a baseline, on the real command line: missing, accepted, changed, accepted again, unused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness.images import write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import Ended, RunHarness, WriteScenario

pytestmark = pytest.mark.slow

CANDIDATE = {"name": "candidate", "device": "cpu"}
REFERENCE = {"name": "cpu-fp32", "role": "reference", "device": "cpu", "baseline": True}
REPEAT = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "Repeats on a CPU give the same bytes."}
NEAR = {"metric": "psnr_db", "scope": "reference", "at_least": 25, "reason": "Half the light costs far more than this."}


def accept(run: RunHarness, scenario: Path, reason: str) -> Ended:
    """Run the reference arm and accept what it made."""
    made = run("run", scenario, "--arm", "cpu-fp32")
    assert made.code == 0, made.err
    return run("baseline", "accept", made.out.strip(), "--reason", reason)


def test_missing_accepted_changed_accepted_again_unused(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    def scenario(light: float, **changes: Any) -> Path:
        """Pictures that a pipeline made; those of the candidate are a little brighter."""
        for arm, more in (("candidate", 2), ("cpu-fp32", 0)):
            for repeat in (0, 1):
                levels = np.random.default_rng(0).integers(0, 250, (64, 64, 3)) * light + more
                write_picture(tmp_path / f"{arm}-circle-42-{repeat}.png", levels.astype(np.uint8))
        made = {"adapter": "images", "source": str(tmp_path), "pictures": "{arm}-{case}-{seed}-{repeat}.png"}
        return write_scenario(model=made, **{"arms": [CANDIDATE, REFERENCE], "limits": [REPEAT, NEAR], **changes})

    # 1. Missing: the check is red, and says which commands make a baseline.
    path = scenario(light=1)
    missing = run_harness("check", path)
    assert missing.code == 4, missing.err
    assert "there is no baseline small/cpu-fp32" in missing.out
    assert "harness baseline accept" in missing.out
    (page,) = tmp_path.glob("runs/*/report/summary.md")
    assert page.read_text(encoding="utf-8").startswith("# MISSING BASELINE: small")
    (junit,) = tmp_path.glob("runs/*/report/junit.xml")
    assert [each.get("type") for each in ET.parse(junit).iter("failure")] == ["missing_baseline"]

    # 2. Accepted: the candidate is near it.
    accepted = accept(run_harness, path, "The first reference of this model.")
    assert accepted.code == 0, accepted.err
    assert "accepted small/cpu-fp32: manifest digest" in accepted.out
    assert run_harness("check", path).code == 0

    # 3. Changed: the pipeline makes darker pictures.
    path = scenario(light=0.5)
    changed = run_harness("check", path)
    assert changed.code == 1, changed.err
    assert "DRIFT" in changed.out

    # 4. Accepted again: darker pictures were wanted.
    again = accept(run_harness, path, "Darker pictures are wanted from now on.")
    assert again.code == 0, again.err
    assert again.out != accepted.out, "another baseline has another digest"
    assert run_harness("check", path).code == 0
    (row,) = json.loads(run_harness("baseline", "list", "--scenarios-dir", tmp_path, "--json").out)
    assert "has an arm" not in row["about"]

    # 5. Unused: no scenario asks for it any more, which is said and is no failure.
    scenario(light=1, arms=[CANDIDATE], limits=[REPEAT])
    assert "has an arm cpu-fp32 with baseline: true" in run_harness("baseline", "list", "--scenarios-dir", tmp_path).out
    verified = run_harness("baseline", "verify", "--scenarios-dir", tmp_path)
    assert verified.code == 0
    assert "has an arm cpu-fp32 with baseline: true" in verified.out
