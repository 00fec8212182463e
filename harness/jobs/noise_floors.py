"""Which calibrations tell the noise floors of a job's references."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import store
from harness.compare.comparability import input_differences
from harness.errors import RecordError
from harness.language import recorded
from harness.message import joined
from harness.records import Calibration, Role, Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALIBRATION_FILE = "calibration.json"
"""Name of what a calibration found, in its job folder."""


@dataclass(frozen=True, kw_only=True)
class NoiseFloors:
    """What is known of how far each reference is from itself."""

    known: list[Calibration] = field(default_factory=list)
    """One calibration at most for each reference arm."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Why there is none, by arm."""


def measured_floors(runs: list[Run], runs_folder: Path) -> NoiseFloors:
    """The newest calibration of each reference in a runs folder that was measured as the reference was run."""
    floors = NoiseFloors()
    for run in _references(runs):
        arm, refused = run.plan.arm.name, ""
        for calibration, plain in _calibrations(runs_folder, run):
            misfit = _misfit(run, calibration, plain)
            if not misfit:
                floors.known.append(calibration)
                break
            refused = refused or recorded(
                "the calibration of {date} does not fit: {misfit}", date=calibration.date, misfit=misfit
            )
        else:
            floors.unknown[arm] = refused or recorded("there is no calibration of {arm} in the runs folder", arm=arm)
    return floors


def keep_floors(floors: NoiseFloors, folder: Path) -> None:
    """Put the calibrations into a job's folder, so that its report needs no other folder."""
    for calibration in floors.known:
        store.save(calibration, folder / _kept_file(calibration.arm))


def kept_floors(runs: list[Run], folder: Path) -> NoiseFloors:
    """What a job keeps."""
    floors = NoiseFloors()
    for run in _references(runs):
        arm = run.plan.arm.name
        if (path := folder / _kept_file(arm)).is_file():
            floors.known.append(store.load(Calibration, path))
        else:
            floors.unknown[arm] = recorded("the job keeps no calibration of {arm}", arm=arm)
    return floors


def _references(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.plan.arm.role is Role.REFERENCE]


def _kept_file(arm: str) -> str:
    return f"calibration-{arm}.json"


def _calibrations(runs_folder: Path, run: Run) -> Iterator[tuple[Calibration, Run]]:
    """Calibrations of an arm of a scenario, the newest first, each with the undisturbed run that it rests on."""
    arm = run.plan.arm.name
    for path in sorted(runs_folder.glob(f"*_*/{CALIBRATION_FILE}"), reverse=True):
        try:
            calibration = store.load(Calibration, path)
            if (calibration.scenario, calibration.arm) == (run.plan.scenario, arm):
                yield calibration, store.load_run(path.parent / arm)
        except RecordError:
            continue  # of another version, or a folder that was not kept whole


def _misfit(run: Run, calibration: Calibration, plain: Run) -> str:
    """In what a reference was run otherwise than when it was calibrated; empty where nothing differs."""
    sides = ((_circumstances(run), _circumstances(plain)), (_device(run), calibration.device))
    misfits = [
        recorded("it was measured with {theirs}, and the reference ran with {mine}", theirs=then, mine=now)
        for now, then in sides
        if now != then
    ]
    return joined(misfits + input_differences(run.plan, run.model, plain))


def _circumstances(run: Run) -> str:
    """How an arm computes, in words."""
    plan, operators = run.plan, run.environment and run.environment.npu_ops
    text = f"{plan.model.dtype}, attention {plan.model.attention}, switches {plan.switches}, noise {plan.noise}"
    return f"{text}, operators of torch_npu {operators}" if operators else text


def _device(run: Run) -> str:
    return f"{run.backend}:{run.environment.device_name if run.environment else 'unknown'}"
