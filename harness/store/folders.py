"""Job folders, their records, and which of them can be resumed.

runs/<utc>_<scenario>/
    job.json                          the question and the command
    <arm>/run.json                    Run
    <arm>/samples/<case>/<seed>/      pictures, arrays and a record for every sample
    comparison-<scope>-<arm>[-against-<arm>].json     Comparison
    scores-<arm>.json                 ArmScores, where the scenario asks for scores
    calibration-<arm>.json            Calibration of a reference, where one was measured as it was run
    report/                           what renderers made of it
"""

from __future__ import annotations

import fcntl
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from harness.errors import NothingSelected, RecordError, RunError
from harness.files import is_safe_path, write_text
from harness.records import (
    MANIFEST_FILE,
    RUN_FILE,
    Comparison,
    Record,
    Run,
    Sample,
    Scenario,
    read_record,
    to_json,
)
from harness.yaml_tree import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from harness.records import AnyRecord

JOB_FILE = "job.json"
REPORT_FOLDER = "report"
EXPLANATION_FOLDER = "explanation"
"""Folder of a job that says where and why its worst case is wrong, once harness explain was asked."""


def scores_file(arm: str) -> str:
    """Name of the file in a job folder that holds the scores of an arm."""
    return f"scores-{arm}.json"


class Job(Record):
    """What a job folder answers."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    state: Literal["unfinished", "finished"]
    """An unfinished job was interrupted or is still going."""
    scenario: Scenario
    """The question, as it was written."""
    command: list[str]
    """How to ask it again."""


class Fingerprint(Record):
    """What must agree before an interrupted run is resumed."""

    plan: str
    """Digest of the plan."""
    code: str
    """Digest of the harness and the adapter."""
    host: str
    """Digest of machine, device and packages."""
    model: str
    """Digest of the model."""


def fingerprint(run: Run) -> Fingerprint:
    """Fingerprint of a stored run."""
    return Fingerprint(plan=run.plan.digest, code=run.code_digest, host=run.host_digest, model=run.model.key)


def new_job_folder(runs_folder: Path, scenario: str) -> Path:
    """Make a folder of its own for a job; two jobs of one second get two folders."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for turn in range(1000):
        folder = runs_folder / f"{stamp}_{scenario}{f'-{turn}' if turn else ''}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise RunError(f"{runs_folder} holds a thousand jobs of this very second; give another --runs-dir.")


def resumable_job_folder(runs_folder: Path, wanted: Mapping[str, Fingerprint]) -> Path | None:
    """The newest interrupted job whose arms, as far as they came, have the wanted fingerprints; None if there is none.

    A job that another process is still working on is locked and left alone, and so is a finished one.
    """
    for folder in sorted(runs_folder.glob("*_*"), reverse=True):
        if _is_locked(folder) or not _is_unfinished(folder):
            continue
        runs = {path.parent.name: _readable_run(path) for path in sorted(folder.glob(f"*/{RUN_FILE}"))}
        if not runs or not set(runs) <= set(wanted):
            continue
        if all(run is not None and fingerprint(run) == wanted[arm] for arm, run in runs.items()):
            return folder
    return None


def _is_unfinished(folder: Path) -> bool:
    try:
        return load(Job, folder / JOB_FILE).state == "unfinished"
    except RecordError:
        return False  # not a job, or one of another version


def _readable_run(path: Path) -> Run | None:
    try:
        return load_any_run(path.parent)
    except RecordError:
        return None  # an interrupted run of another version, or one that was tampered with, is not resumed


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a job folder for this process; the lock goes with the process, however it ends.

    Raises:
        RunError: another process holds it.
    """
    with (folder / ".lock").open("w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder} is in use by another process; wait for it or give another --runs-dir.") from error
        yield


def _is_locked(folder: Path) -> bool:
    try:
        with (folder / ".lock").open("r", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def save(record: Record, path: Path) -> Path:
    """Write a record as strict JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_json(record))
    return path


def load(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record.

    Raises:
        RecordError: there is no such file, or it is not such a record.
    """
    return read_record(kind, path)


def load_any_run(folder: Path) -> Run:
    """The run of a run folder, finished or not.

    Raises:
        RecordError: the folder holds no run, or one that contradicts itself or the samples beside it.
    """
    if not (folder / RUN_FILE).is_file():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{RUN_FILE}"))
        hint = f"; it holds the arms {', '.join(inside)}: name one of them" if inside else ""
        raise RecordError(f"{folder} is not a run folder: it has no {RUN_FILE}{hint}.")
    run = load(Run, folder / RUN_FILE)
    if (contradiction := next(contradictions(run, folder), None)) is not None:
        raise RecordError(
            f"{folder / RUN_FILE} is not the record of the samples beside it: {contradiction}. It was changed after "
            "the run, or the folder was put together from several; make the run again."
        )
    return run


def contradictions(run: Run, folder: Path) -> Iterator[str]:
    """What the record of a run says and its plan, or the record of a sample in its folder, does not.

    Samples write their own records before the run's, so where there are any, the run holds what they say.

    Raises:
        RecordError: the record of a sample cannot be read.
    """
    planned, listed = set(run.plan.keys), {sample.place: sample for sample in run.samples}
    if len(listed) != len(run.samples):
        yield "it lists a sample twice"
    for place, sample in listed.items():
        if sample.key not in planned:
            yield f"it lists {place}, and its plan asks for no such case and seed"
        yield from (
            f"{place} names the file {quoted(path)}, which leads out of its folder"
            for path in paths_of(sample)
            if not is_safe_path(path)
        )
    records = {path.relative_to(folder).as_posix(): path for path in folder.glob("samples/*/*/p*r*.json")}
    if records:
        if run.state == "finished":  # what an interrupted run lacks is made again
            yield from (f"it lists {place}, and there is no such file" for place in sorted(set(listed) - set(records)))
        yield from (
            f"{place} says something else"
            for place in records
            if place in listed and not _agrees(listed[place], records[place])
        )
    if run.state == "finished":
        yield from _lacking(run, records, folder)
        yield from (f"it does not list {place}" for place in sorted(set(records) - set(listed)))


def _lacking(run: Run, records: Collection[str], folder: Path) -> Iterator[str]:
    """Samples that a run of its own would have; a baseline has one for each outcome."""
    if run.failures or not records or (folder / MANIFEST_FILE).exists():
        return
    wanted = run.plan.repeats.in_process * run.plan.repeats.processes
    made = Counter(sample.key for sample in run.samples)
    for key in run.plan.keys:
        if made[key] < wanted:
            yield f"it is called finished without a failure, and has {made[key]} of {wanted} samples of {key}"


def _agrees(sample: Sample, path: Path) -> bool:
    """Whether the own record of a sample says the same; one of the same version is so to the letter."""
    stated = to_json(sample)
    try:
        return path.read_text(encoding="utf-8") == stated or to_json(load(Sample, path)) == stated
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}. Copy the run as a whole, or make it again.") from error


def paths_of(sample: Sample) -> list[str]:
    """Files with the arrays of a sample, relative to the run folder, each once."""
    arrays = (sample.image, sample.float_image, sample.latents, sample.video.latents if sample.video else None)
    refs = [ref.path for ref in arrays if ref is not None]
    return list(dict.fromkeys([*refs, *([sample.noise_path] if sample.noise_path else [])]))


def load_run(folder: Path) -> Run:
    """The finished run of a run folder.

    Raises:
        RecordError: the folder holds no run, or one that was interrupted.
    """
    run = load_any_run(folder)
    if run.state != "finished":
        raise RecordError(
            f"{folder} holds an unfinished run ({len(run.samples)} samples were stored); give the same command again "
            "and it goes on where it stopped."
        )
    return run


def load_comparison(path: Path) -> Comparison:
    """A stored comparison; a job folder stands for its only comparison."""
    if path.is_dir():
        comparisons = sorted(path.glob("comparison-*.json"))
        if len(comparisons) != 1:
            raise RecordError(f"{path} holds {len(comparisons)} comparisons; name one of them.")
        path = comparisons[0]
    return load(Comparison, path)


def run_folders(runs_folder: Path) -> list[Path]:
    """All run folders below a folder of jobs, oldest first."""
    return sorted(path.parent for path in runs_folder.glob(f"*/*/{RUN_FILE}"))


def scenario_files(folder: Path) -> list[Path]:
    """All scenario files of a folder, sorted.

    Raises:
        NothingSelected: there is none.
    """
    scenarios = sorted(folder.glob("*.yaml"))
    if not scenarios:
        raise NothingSelected(f"{folder} holds no scenario (*.yaml); run this where your scenarios folder is.")
    return scenarios
