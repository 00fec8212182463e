"""A calibration tells the noise floor of a reference only where that was run as it was calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness import store
from harness.jobs.noise_floors import CALIBRATION_FILE, keep_floors, kept_floors, measured_floors
from harness.records import RUN_FILE, NpuOps, OnPurpose, Run
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def reference(folder: Path) -> Run:
    """The reference of a report whose candidate is none of this module's business."""
    return sample_reports.drift(folder / "made").runs[1]


def calibrated(runs_folder: Path, of: Run, stamp: str = "20260131T000000Z", **changes: Any) -> Path:
    """A job folder as ``harness calibrate`` leaves it."""
    folder = runs_folder / f"{stamp}_{of.plan.scenario}"
    found = sample_reports.calibration(of).model_copy(update=changes)
    store.save(found, folder / CALIBRATION_FILE)
    store.save(of, folder / of.plan.arm.name / RUN_FILE)
    return folder


def changed(run: Run, **changes: Any) -> Run:
    """The run of another plan, with those of its samples that this plan asks for."""
    plan = run.plan.model_copy(update=changes)
    return run.model_copy(update={"plan": plan, "samples": [each for each in run.samples if each.key in plan.keys]})


def test_the_newest_calibration_that_fits_is_known_and_kept_with_the_job(tmp_path: Path) -> None:
    run = reference(tmp_path)
    runs, job = tmp_path / "runs", tmp_path / "job"
    calibrated(runs, run, "20260101T000000Z", seeds=[1, 2])
    calibrated(runs, run, "20260102T000000Z", seeds=[3, 4])
    calibrated(runs, changed(run, steps=run.plan.steps + 1), "20260103T000000Z", seeds=[5, 6])
    found = measured_floors([run], runs)
    assert ([each.seeds for each in found.known], found.unknown) == ([[3, 4]], {})
    keep_floors(found, job)
    assert kept_floors([run], job) == found


def test_candidates_have_no_floor_of_their_own(tmp_path: Path) -> None:
    candidate = sample_reports.drift(tmp_path / "made").runs[0]
    calibrated(tmp_path / "runs", candidate)
    found = measured_floors([candidate], tmp_path / "runs")
    assert (found.known, found.unknown) == ([], {})


def test_where_there_is_none_that_is_said(tmp_path: Path) -> None:
    run = reference(tmp_path)
    other = run.model_copy(update={"plan": run.plan.model_copy(update={"scenario": "other"})})
    calibrated(tmp_path / "runs", other)
    assert measured_floors([run], tmp_path / "runs").unknown == {
        "cpu-fp32": "there is no calibration of cpu-fp32 in the runs folder"
    }
    assert kept_floors([run], tmp_path).unknown == {"cpu-fp32": "the job keeps no calibration of cpu-fp32"}


def environment(run: Run, **changes: Any) -> Run:
    assert run.environment is not None
    return run.model_copy(update={"environment": run.environment.model_copy(update=changes)})


MISFITS: dict[str, tuple[Callable[[Run], Run], str]] = {
    "size": (lambda run: changed(run, width=run.plan.width * 2), "width: actual 96, expected 192"),
    "steps": (lambda run: changed(run, steps=7), "steps: actual 20, expected 7"),
    "prompt": (
        lambda run: changed(run, cases=[run.plan.cases[0].model_copy(update={"prompt": "another"})]),
        "the prompt of case pizza differs",
    ),
    "model": (
        lambda run: run.model_copy(update={"model": run.model.model_copy(update={"digest": "0" * 64})}),
        "the model differs",
    ),
    "type": (
        lambda run: changed(run, model=run.plan.model.model_copy(update={"dtype": "float16"})),
        "it was measured with float16, attention sdpa",
    ),
    "device": (lambda run: environment(run, device_name="Other CPU"), "it was measured with cpu:Other CPU"),
    "operators": (lambda run: environment(run, npu_ops=NpuOps.HIDDEN), "operators of torch_npu hidden"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_was_calibrated_otherwise_is_refused_with_the_difference(name: str, tmp_path: Path) -> None:
    change, words = MISFITS[name]
    run = reference(tmp_path)
    calibrated(tmp_path / "runs", change(run))
    found = measured_floors([run], tmp_path / "runs")
    assert found.known == []
    assert found.unknown["cpu-fp32"].startswith("the calibration of 2026-01-31 does not fit: ")
    assert words in found.unknown["cpu-fp32"]


def test_a_floor_of_another_model_is_none_even_where_the_model_differs_on_purpose(tmp_path: Path) -> None:
    run = changed(reference(tmp_path), differs_in={OnPurpose.MODEL: "Another revision on purpose."})
    calibrated(tmp_path / "runs", MISFITS["model"][0](run))
    found = measured_floors([run], tmp_path / "runs")
    assert found.known == []
    assert "the model differs" in found.unknown["cpu-fp32"]


def test_other_seeds_and_limits_are_no_difference(tmp_path: Path) -> None:
    run = reference(tmp_path)
    calibrated(tmp_path / "runs", changed(run, seeds=[9], limits=[], scenario_digest="1" * 64))
    assert len(measured_floors([run], tmp_path / "runs").known) == 1


@pytest.mark.parametrize("damaged", [CALIBRATION_FILE, f"cpu-fp32/{RUN_FILE}"])
def test_a_damaged_folder_is_passed_over(damaged: str, tmp_path: Path) -> None:
    run = reference(tmp_path)
    folder = calibrated(tmp_path / "runs", run)
    (folder / damaged).write_text("{", encoding="utf-8")
    assert measured_floors([run], tmp_path / "runs").unknown == {
        "cpu-fp32": "there is no calibration of cpu-fp32 in the runs folder"
    }
