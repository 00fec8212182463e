"""Delete old jobs: the verb runs prune."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import store
from harness.errors import NothingSelected, RecordError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class OldJob:
    """A finished job that newer ones of its scenario have outlived."""

    folder: Path
    """Its folder."""
    size_bytes: int
    """Bytes of all its files."""


def old_jobs(runs_folder: Path, keep: int) -> list[OldJob]:
    """Finished jobs beyond the newest ``keep`` of each scenario, oldest first; unfinished ones are never among them.

    Raises:
        NothingSelected: there is no job.
    """
    by_scenario: dict[str, list[Path]] = {}
    for folder in sorted(runs_folder.glob("*_*"), reverse=True):
        try:
            job = store.load(store.Job, folder / store.JOB_FILE)
        except RecordError:
            continue  # no job, or one of another version: not ours to delete
        if job.state == "finished":
            by_scenario.setdefault(job.scenario.name, []).append(folder)
    if not by_scenario:
        raise NothingSelected(f"there is no finished job in {runs_folder.absolute()}.")
    old = sorted(folder for folders in by_scenario.values() for folder in folders[keep:])
    return [OldJob(folder=folder, size_bytes=_size(folder)) for folder in old]


def delete(jobs: list[OldJob]) -> None:
    """Delete jobs; one that another process works on is left.

    Raises:
        RunError: another process works on a job.
    """
    for job in jobs:
        with store.locked(job.folder):
            # The record goes first: what is left of a cut-off deletion is no job any more.
            (job.folder / store.JOB_FILE).unlink()
            shutil.rmtree(job.folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
