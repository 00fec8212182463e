"""Folders of release reports: a manifest over all files, so that a changed one is named."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from harness.files import is_safe_path
from harness.records import MANIFEST_FILE, ReleasedRun, ReleaseManifest, StoredFile, to_json
from harness.store.baselines import sha256_of
from harness.store.folders import load, save

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Release


def seal(folder: Path, release: Release, names: list[str]) -> None:
    """Write the manifest over the files of a report and the runs behind it."""
    stored = {run.id: to_json(run) for job in release.jobs for run in job.report.runs}
    files = [
        StoredFile(path=name, sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
        for name in sorted(names)
    ]
    runs = [ReleasedRun(id=name, sha256=hashlib.sha256(stored[name].encode()).hexdigest()) for name in sorted(stored)]
    save(ReleaseManifest(name=release.name, runs=runs, files=files), folder / MANIFEST_FILE)


def forget(folder: Path, kept: list[str]) -> None:
    """Remove files of an earlier report that are no longer wanted; what its manifest does not name is left alone."""
    if (folder / MANIFEST_FILE).is_file():
        manifest = load(ReleaseManifest, folder / MANIFEST_FILE)
        for file in manifest.files:
            if is_safe_path(file.path) and file.path not in kept:
                (folder / file.path).unlink(missing_ok=True)
                _remove_empty((folder / file.path).parent, folder)


def _remove_empty(inner: Path, folder: Path) -> None:
    """Remove a folder below ``folder`` and those around it, where nothing is left in them."""
    while inner != folder and inner.is_dir() and not any(inner.iterdir()):
        inner.rmdir()
        inner = inner.parent


def problems(folder: Path) -> list[str]:
    """What is changed, missing or surplus, a sentence for each file; empty when the folder holds what was made.

    Raises:
        RecordError: there is no manifest, or it cannot be read.
    """
    manifest = load(ReleaseManifest, folder / MANIFEST_FILE)
    listed = {entry.path for entry in manifest.files}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    wrong = [f"{path} is surplus: the manifest does not list it" for path in sorted(there - listed - {MANIFEST_FILE})]
    for file in manifest.files:
        path = folder / file.path
        if not is_safe_path(file.path) or not path.is_file():
            wrong.append(f"{file.path} is missing")
        elif (actual := sha256_of(path)) != file.sha256:
            wrong.append(f"{file.path} is changed: SHA-256 {actual[:16]}…, the manifest says {file.sha256[:16]}…")
    return wrong
