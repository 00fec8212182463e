"""Several scenarios in one check: all is looked up before the first runs, and no failure hides another's verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.images import write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

pytestmark = pytest.mark.slow

TOY = {"adapter": "planted-toy"}


def made(write: WriteScenario, name: str, *, levels: tuple[int, int]) -> Path:
    """A scenario of two pictures that were made before, each with something brighter in it by so many levels."""
    pictures = {"adapter": "images", "source": ".", "pictures": f"{name}-{{case}}-{{seed}}-{{repeat}}.png"}
    path = write(name=name, model=pictures)
    for repeat, level in enumerate(levels):
        picture = np.random.default_rng(0).integers(0, 250, (64, 64, 3), np.uint8)
        picture[0, 0] += np.uint8(level)
        write_picture(path.parent / f"{name}-circle-42-{repeat}.png", picture)
    return path


@pytest.mark.parametrize(
    "wrong",
    [
        ({"model": {"source": "models/missing", "trust_remote_code": False}}, 2, "models/missing does not exist"),
        ({"arms": [{"name": "candidate", "device": "cuda"}]}, 3, "--device cuda cannot be used here"),
        ({"seeds": []}, 2, "seeds"),
    ],
    ids=["model", "device", "file"],
)
def test_what_is_wrong_with_a_later_scenario_shows_before_the_first_runs(
    wrong: tuple[dict[str, Any], int, str], tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    changes, code, words = wrong
    good = write_scenario(name="good", model=TOY)
    bad = write_scenario(name="bad", **changes)
    ended = run_harness("check", good, bad)
    assert ended.code == code, ended.err
    assert words in ended.err
    assert not (tmp_path / "runs").exists(), "nothing was run"


def test_each_result_is_told_as_it_ends_and_the_worst_decides(
    run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    drifting = made(write_scenario, "drifting", levels=(0, 5))
    good = made(write_scenario, "good", levels=(0, 0))
    ended = run_harness("check", drifting, good)
    assert ended.code == 6, ended.err
    told = [line for line in ended.err.splitlines() if line.startswith(("drifting: FAIL:", "good: PASS:"))]
    assert [line.partition(":")[0] for line in told] == ["drifting", "good"]
    begun = next(line for line in ended.err.splitlines() if line.startswith("good/candidate"))
    assert ended.err.index(told[0]) < ended.err.index(begun), "before the next begins"
    assert ended.out.splitlines()[-1].startswith("FAIL: ")


def test_a_scenario_that_cannot_end_hides_no_verdict_of_another(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    drifting = made(write_scenario, "drifting", levels=(0, 5))
    stopped = write_scenario(name="stopped", model={"adapter": "planted-locks-out"})
    good = made(write_scenario, "good", levels=(0, 0))
    ended = run_harness("check", drifting, stopped, good)
    assert ended.code == 3, ended.err
    assert "stopped: the system refused: " in ended.out
    assert "UNSTABLE" in ended.out, "the first one's verdict is in the table"
    assert ended.out.splitlines()[-1].startswith("ERROR: 1 of 3 scenarios could not end (stopped). FAIL: ")
    reports = sorted(path.parents[1].name.partition("_")[2] for path in tmp_path.glob("runs/*/report/report.json"))
    assert reports == ["drifting", "good"]
    answers = json.loads(run_harness("check", stopped, good, "--json").out)
    assert [(answer["scenario"], answer["outcome"]) for answer in answers] == [
        ("good", "identical"),
        ("stopped", "error"),
    ]
