"""A report of many cases, built by hand and stored as a job stores it: a third equal, a third near, a third too far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness import store
from harness.jobs.compare import comparison_file
from harness.records import RUN_FILE, Case, Limit, Repeats, Scope
from tests.render import sample_reports

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.records import CaseKey, Report

LIMITS = [
    sample_reports.LIMITS[0],
    Limit(metric="psnr_db", scope=Scope.REFERENCE, at_least=40, reason="Every third case is meant to break it."),
]


def built(folder: Path, count: int) -> Report:
    """A candidate in bfloat16 against a reference in float32, ``count`` cases, two processes."""
    cases = [Case(id=f"case-{number:04}", prompt=f"prompt number {number}, of a picture") for number in range(count)]
    arms = [sample_reports.CANDIDATE, sample_reports.REFERENCE]
    repeats = Repeats(in_process=1, processes=2)
    question = sample_reports.scenario(cases, arms, LIMITS).model_copy(update={"repeats": repeats})
    actual, some = sample_reports.filled(folder, question, arms[0], sample_reports.NPU, _actual)
    expected, more = sample_reports.filled(folder, question, arms[1], sample_reports.CPU, _expected)
    arrays = {**some, **more}
    comparisons = [
        sample_reports.repeats(actual, arrays, LIMITS[:1]),
        sample_reports.repeats(expected, arrays, LIMITS[:1]),
        sample_reports.against(actual, expected, arrays, LIMITS[1:]),
    ]
    return sample_reports.report(question, [actual, expected], comparisons)


def stored(folder: Path, count: int) -> list[Path]:
    """The same as a job folder; gives the files of its comparisons."""
    made = built(folder, count)
    job = store.Job(state="finished", scenario=made.scenario, command=made.command)
    store.save(job, folder / store.JOB_FILE)
    for run in made.runs:
        store.save(run, folder / run.plan.arm.name / RUN_FILE)
    return [store.save(each, folder / comparison_file(each)) for each in made.comparisons]


def _number(key: CaseKey) -> int:
    return int(key.case.removeprefix("case-"))


def _expected(key: CaseKey, _process: int, _repeat: int) -> NDArray[np.uint8]:
    return sample_reports.picture(key.case)


def _actual(key: CaseKey, _process: int, _repeat: int) -> NDArray[np.uint8]:
    array = sample_reports.picture(key.case)
    match _number(key) % 3:
        case 0:
            spoilt = array.copy()
            spoilt[24:56, 24:56] ^= 64
            return spoilt
        case 1:
            speck = np.random.default_rng(_number(key)).integers(0, 2, array.shape, dtype=np.uint8)
            return np.where(array < 255, array + speck, array).astype(np.uint8)
        case _:
            return array
