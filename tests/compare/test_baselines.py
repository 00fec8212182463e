"""A run compared with a baseline: comparable or not in words, the nearest accepted outcome, and what is noteworthy."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from harness.compare.comparator import StoredRun, compare_runs, missing_baseline
from harness.compare.gates import judge
from harness.records import EXIT_CODES, Acceptance, Arm, Case, NoiseMode, Role, Schedule, Scope, Status
from harness.store import acceptance
from tests.compare.stored_runs import (
    CUP,
    Made,
    environment,
    letter,
    limit,
    model_identity,
    one_case,
    processes,
    sha,
    stored_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.records import Comparison

TABLE = Schedule(timesteps=[1000.0, 500.0, 250.0], sigmas=[1.0, 0.5, 0.25, 0.0])
TODAY = date(2026, 1, 2)
DIGEST = sha("manifest")
MADE = replace(letter("A"), schedule=TABLE)


def twice(folder: Path, made: Made = MADE, **changes: Any) -> StoredRun:
    return stored_run(folder, {CUP: [[made, made]]}, **changes)


def accepted(run: StoredRun, folder: Path, *, modes: bool = False) -> StoredRun:
    made = acceptance.accept(
        run.folder, folder, reason="For this test only.", who="Tester", commit=None, accepted_utc="now", modes=modes
    )
    return StoredRun(run=made.run, folder=made.folder, manifest=made.manifest)


def against(actual: StoredRun, expected: StoredRun) -> Comparison:
    limits = [limit("psnr_db", Scope.REFERENCE, at_least=40)]
    return judge(compare_runs(actual, expected, limits=limits, base=actual.folder.parent), today=TODAY)


# --- what must agree -------------------------------------------------------------------------------------------------


def planned(**values: Any) -> Callable[[Path], StoredRun]:
    return lambda folder: twice(folder, planned=values)


def scheduled(**values: Any) -> Callable[[Path], StoredRun]:
    return lambda folder: twice(folder, replace(MADE, schedule=TABLE.model_copy(update=values)))


FAULTS: dict[str, tuple[Callable[[Path], StoredRun], str]] = {
    "prompt": (planned(cases=[Case(id="cup", prompt="a blue cup")]), "the prompt of case cup differs"),
    "negative prompt": (
        planned(cases=[Case(id="cup", prompt="a red cup", negative_prompt="blurry")]),
        "the negative prompt of case cup differs",
    ),
    "size": (planned(width=64), "width: actual 64, expected 32"),
    "steps": (planned(steps=4), "steps: actual 4, expected 3"),
    "guidance": (planned(guidance_scale=1.0), "guidance_scale: actual 1.0, expected 4.0"),
    "scheduler table": (
        scheduled(timesteps=[1000.0, 501.0, 250.0]),
        "the scheduler's table differs in its timesteps (actual 3 timesteps from 1000 to 250",
    ),
    "noise levels": (scheduled(sigmas=[1.0, 0.4, 0.2, 0.0]), "the scheduler's table differs in its noise levels"),
    "length of the table": (scheduled(timesteps=[1000.0, 500.0]), "actual 2 timesteps from 1000 to 500, expected 3"),
    "model": (lambda folder: twice(folder, model=model_identity("other")), "the model differs"),
    "noise": (lambda folder: twice(folder, replace(MADE, noise="other")), "the noise differs"),
    "own device's noise": (
        planned(arm=Arm(name="npu", device="cpu", noise=NoiseMode.DEVICE)),
        "the actual side drew its noise on its own device",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_differs_is_said_and_no_number_is_made_of_it(fault: str, tmp_path: Path) -> None:
    make, says = FAULTS[fault]
    expected = accepted(twice(tmp_path / "cpu"), tmp_path / "baselines")
    found = against(make(tmp_path / "npu"), expected)
    assert found.outcome is Status.NOT_COMPARABLE
    assert EXIT_CODES[found.outcome] == 7
    assert says in found.message
    assert found.pairs == []
    (difference,) = found.differences
    assert says in difference


def test_the_same_work_is_comparable(tmp_path: Path) -> None:
    expected = accepted(twice(tmp_path / "cpu"), tmp_path / "baselines")
    found = against(twice(tmp_path / "npu"), expected)
    assert (found.outcome, found.notes) == (Status.IDENTICAL, [])
    assert expected.manifest is not None
    assert found.expected.baseline == expected.manifest.digest
    assert found.pairs[0].accepted == ""


def test_a_table_that_another_mathematical_library_rounds_is_the_same(tmp_path: Path) -> None:
    expected = accepted(twice(tmp_path / "cpu"), tmp_path / "baselines")
    rounded = scheduled(timesteps=[1000.0, 500.00006, 250.0])(tmp_path / "npu")
    assert against(rounded, expected).outcome is Status.IDENTICAL


def test_an_adapter_without_a_table_is_compared(tmp_path: Path) -> None:
    expected = accepted(twice(tmp_path / "cpu"), tmp_path / "baselines")
    assert against(one_case(tmp_path / "npu", "AA"), expected).outcome is Status.IDENTICAL


def test_noise_of_a_device_is_comparable_where_it_was_carried_over(tmp_path: Path) -> None:
    device = Arm(name="gpu", device="cpu", noise=NoiseMode.DEVICE)
    expected = accepted(twice(tmp_path / "gpu", planned={"arm": device}), tmp_path / "baselines")
    own = against(twice(tmp_path / "own"), expected)
    assert own.outcome is Status.NOT_COMPARABLE
    assert "the expected side drew its noise on its own device" in own.message
    carried = against(twice(tmp_path / "npu", planned={"noise_from": DIGEST}), expected)
    assert carried.outcome is Status.IDENTICAL
    assert (carried.actual.noise, carried.expected.noise) == (NoiseMode.BASELINE, NoiseMode.DEVICE)


def test_a_run_with_the_noise_of_another_baseline_is_another_plan(tmp_path: Path) -> None:
    plans = [twice(tmp_path / name, planned={"noise_from": given}).run.plan for name, given in NOISES.items()]
    own, one, other = (plan.model_copy(update={"arm": plans[0].arm}).digest for plan in plans)
    assert len({own, one, other}) == 3, "so an interrupted run is not resumed"


NOISES = {"own": None, "one": DIGEST, "other": sha("another manifest")}


# --- several accepted outcomes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "label", "which", "outcome"),
    [
        ("AA", "p0r0", "1 of 3", Status.IDENTICAL),
        ("CC", "p0r1", "2 of 3", Status.IDENTICAL),
        ("FF", "p0r2", "3 of 3", Status.WITHIN_LIMITS),
        ("BB", "p0r0", "1 of 3", Status.WITHIN_LIMITS),
    ],
)
def test_the_accepted_outcome_that_is_nearest_is_taken(
    candidate: str, label: str, which: str, outcome: Status, tmp_path: Path
) -> None:
    expected = accepted(one_case(tmp_path / "cpu", "ACG"), tmp_path / "baselines", modes=True)
    limits = [limit("psnr_db", Scope.REFERENCE, at_least=20)]
    actual = one_case(tmp_path / "npu", candidate)
    found = judge(compare_runs(actual, expected, limits=limits, base=tmp_path), today=TODAY)
    (pair,) = found.pairs
    assert (pair.expected, pair.accepted, found.outcome) == (label, which, outcome)
    assert f"against {label}, accepted outcome {which}: " in pair.verdicts[0].message


def test_a_reference_that_was_run_is_still_held_by_its_first_sample(tmp_path: Path) -> None:
    found = against(one_case(tmp_path / "npu", "CC"), one_case(tmp_path / "cpu", "AC"))
    assert (found.pairs[0].expected, found.pairs[0].accepted) == ("p0r0", "")


# --- notes -----------------------------------------------------------------------------------------------------------


def test_who_accepted_a_baseline_and_why_goes_with_the_result(tmp_path: Path) -> None:
    expected = accepted(twice(tmp_path / "cpu"), tmp_path / "baselines")
    found = against(twice(tmp_path / "npu"), expected)
    assert found.actual.acceptance is None
    assert found.expected.acceptance == Acceptance(who="Tester", why="For this test only.", accepted_utc="now")


def test_another_environment_is_said_beside_the_result(tmp_path: Path) -> None:
    then = environment().model_copy(
        update={"packages": {"torch": "2.9.0", "einops": "1"}, "facts": {"driver": "25.1", "cann": "8.5"}}
    )
    now = environment().model_copy(
        update={"packages": {"torch": "2.13.0", "numpy": "2"}, "facts": {"driver": "26.0", "cann": "8.5"}}
    )
    expected = accepted(twice(tmp_path / "cpu", environment=then), tmp_path / "baselines")
    found = against(twice(tmp_path / "npu", environment=now), expected)
    assert found.outcome is Status.IDENTICAL
    assert found.notes == [
        "the baseline stored/cpu was made in another environment: torch 2.9.0, now 2.13.0; driver 25.1, now 26.0"
    ]
    elsewhere = now.model_copy(update={"backend": "npu"})
    other = against(twice(tmp_path / "card", environment=elsewhere), expected)
    assert other.notes == ["the baseline stored/cpu was made in another environment: torch 2.9.0, now 2.13.0"]


def test_a_scenario_that_was_edited_in_passing_is_said(tmp_path: Path) -> None:
    expected = accepted(twice(tmp_path / "cpu"), tmp_path / "baselines")
    found = against(twice(tmp_path / "npu", planned={"scenario_digest": sha("edited")}), expected)
    assert found.outcome is Status.IDENTICAL
    (note,) = found.notes
    assert "the scenario was edited since the baseline stored/cpu was accepted" in note
    assert note in found.message


# --- none ------------------------------------------------------------------------------------------------------------


def test_a_baseline_that_is_not_there_is_a_word_of_its_own(tmp_path: Path) -> None:
    actual = stored_run(tmp_path / "npu", {CUP: processes("AA")})
    arm = Arm(name="gpu", role=Role.REFERENCE, device="cuda", baseline=True)
    found = judge(missing_baseline(actual, arm, "there is none; make it", limits=[], base=tmp_path), today=TODAY)
    assert (found.outcome, found.message) == (Status.MISSING_BASELINE, "there is none; make it")
    assert EXIT_CODES[found.outcome] == 4
    assert found.missing == [CUP]
    assert judge(found, today=TODAY) == found, "to judge it again changes nothing"
