"""Baselines as they lie on disk, and whether they still hold what was accepted.

baselines/<scenario>/<arm>/
    manifest.json                     Manifest: where it comes from, who accepted it and why, a hash of every file
    manifest.sha256                   the manifest's own hash, as sha256sum writes it
    run.json                          the accepted Run, with one sample for each distinct outcome
    samples/<case>/<seed>/            pictures, float outputs, latents and noise of these samples
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BaselineDamaged, BaselineMissing, RecordError, UsageError
from harness.files import is_safe_path, write_atomically, write_text
from harness.progress import counted
from harness.records import MANIFEST_FILE, RUN_FILE, Manifest, Repeats, Run, from_json
from harness.store import replacing
from harness.store.folders import contradictions, load, paths_of, save
from harness.store.replacing import leftovers, owner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from harness.records import AnyRecord, CaseKey

HASH_FILE = "manifest.sha256"
TAKEN_FILE = "baseline.json"
"""The manifest in a job's copy of a baseline, which may hold only some of its cases and seeds."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An accepted run, whole and as it was accepted."""

    folder: Path
    manifest: Manifest
    run: Run


def folder_of(baselines_folder: Path, name: str) -> Path:
    """Folder of a baseline by its name on the command line, whether it exists or not.

    Raises:
        UsageError: the name is not ``SCENARIO/ARM``.
    """
    if not is_safe_path(name) or name.count("/") != 1:
        raise UsageError(f"{name!r} is not the name of a baseline; give it as SCENARIO/ARM, such as tiny-t2i/cpu-fp32.")
    return baselines_folder / name


def readable(baselines_folder: Path, name: str) -> Path:
    """Folder in which a baseline can be read: the old one where a kill left nothing else."""
    return replacing.readable(folder_of(baselines_folder, name))


def names(baselines_folder: Path) -> list[str]:
    """Names of all baselines, sorted; one that a kill left under its old name counts."""
    manifests = baselines_folder.glob(f"*/*/{MANIFEST_FILE}")
    whole = {f"{path.parts[-3]}/{path.parts[-2]}" for path in manifests if not path.parts[-2].startswith(".")}
    kept = {f"{path.parent.name}/{owner(path)}" for path in unfinished(baselines_folder) if path.suffix == ".old"}
    return sorted(whole | kept)


def unfinished(baselines_folder: Path) -> list[Path]:
    """What killed processes left, sorted; the next accept or unpack of that baseline completes or cleans it."""
    return [path for parent in sorted(baselines_folder.glob("*/")) for path in leftovers(parent)]


def read(baselines_folder: Path, name: str) -> Baseline:
    """Read a baseline after hashing each of its files.

    Raises:
        BaselineMissing: there is none of that name.
        BaselineDamaged: a file is damaged, missing or surplus; the message names it.
    """
    folder = readable(baselines_folder, name)
    if not folder.is_dir():
        raise BaselineMissing(
            f"there is no baseline {name} in {baselines_folder}; make a run of it and accept it: "
            "harness baseline accept runs/JOB/ARM --reason TEXT."
        )
    if damage := problems(folder, name):
        more = f"; and {len(damage) - _SHOWN} more" if len(damage) > _SHOWN else ""
        raise BaselineDamaged(
            f"the baseline {name} in {folder} is not what was accepted: {'; '.join(damage[:_SHOWN])}{more}. "
            "Restore the folder from where it came, or accept a run again."
        )
    manifest = _as_hashed(Manifest, folder / MANIFEST_FILE, (folder / HASH_FILE).read_text(encoding="utf-8")[:64])
    stated = next(file.sha256 for file in manifest.files if file.path == RUN_FILE)
    return Baseline(folder=folder, manifest=manifest, run=_as_hashed(Run, folder / RUN_FILE, stated))


def _as_hashed(kind: type[AnyRecord], path: Path, sha256: str) -> AnyRecord:
    """A record from the very bytes whose hash is known: the file may have been changed since it was hashed."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BaselineDamaged(
            f"{path} was changed while it was read. Give the command again when nothing writes there."
        )
    return from_json(kind, data.decode(), place=path)


def problems(folder: Path, name: str) -> list[str]:
    """What is wrong with a baseline's folder, a sentence for each file; empty when it holds what was accepted."""
    try:
        stated, hashed = (folder / HASH_FILE).read_bytes(), _hash_line(folder)
        if stated != hashed.encode():
            reason = f"SHA-256 {hashed[:16]}…, {HASH_FILE} says {stated[:16]!r}"
            return [f"{MANIFEST_FILE} is damaged or was edited: {reason}"]
        manifest = load(Manifest, folder / MANIFEST_FILE)
    except OSError as error:
        return [f"{Path(error.filename).name} cannot be read: {error.strerror}"]
    except RecordError as error:
        return [str(error)]
    wrong = list(_manifest_problems(manifest, name))
    listed = {entry.path for entry in manifest.files}
    wrong += [f"{path} is surplus: the manifest does not list it" for path in sorted(_files(folder) - listed)]
    safe = [file for file in manifest.files if is_safe_path(file.path)]
    for file in counted(safe, f"hashing {name}", len(safe), "files"):
        wrong += _file_problems(folder / file.path, file.path, file.sha256, file.bytes)
    return wrong or list(_run_problems(folder, manifest, listed))


def _manifest_problems(manifest: Manifest, name: str) -> Iterator[str]:
    if manifest.name != name:
        yield f"{MANIFEST_FILE} is that of {manifest.name}: the folder was renamed or copied over"
    yield from (f"{file.path!r} leads out of the folder" for file in manifest.files if not is_safe_path(file.path))


def _files(folder: Path) -> set[str]:
    """Everything in the folder that is not a folder, but the manifest and its hash; links count as files."""
    inside = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in inside} - {MANIFEST_FILE, HASH_FILE}


def _file_problems(path: Path, name: str, sha256: str, size: int) -> Iterator[str]:
    if path.is_symlink():
        yield f"{name} is a link"
    elif not path.is_file():
        yield f"{name} is missing"
    elif path.stat().st_size != size:
        yield f"{name} is damaged: {path.stat().st_size} bytes, accepted were {size}"
    elif (actual := sha256_of(path)) != sha256:
        yield f"{name} is damaged: SHA-256 {actual[:16]}…, accepted was {sha256[:16]}…"


def _run_problems(folder: Path, manifest: Manifest, listed: Collection[str]) -> Iterator[str]:
    """Whether the run is the manifest's and names no file outside; its bytes are known to be as accepted."""
    try:
        run = load(Run, folder / RUN_FILE)
        contradicted = [f"{RUN_FILE} is damaged: {contradiction}" for contradiction in contradictions(run, folder)]
    except RecordError as error:
        yield str(error)
        return
    stated = (manifest.scenario, manifest.arm, manifest.model_digest, manifest.scenario_digest)
    if stated != (run.plan.scenario, run.plan.arm.name, run.model.digest, run.plan.scenario_digest):
        yield f"{RUN_FILE} is not the run that {MANIFEST_FILE} speaks of"
    unlisted = sorted({path for sample in run.samples for path in paths_of(sample)} - set(listed))
    yield from (f"{RUN_FILE} names {path!r}, which the manifest does not list" for path in unlisted)
    if not unlisted:
        yield from contradicted


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest into a baseline's folder, and its hash beside it."""
    save(manifest, folder / MANIFEST_FILE)
    write_text(folder / HASH_FILE, _hash_line(folder))


def _hash_line(folder: Path) -> str:
    return f"{sha256_of(folder / MANIFEST_FILE)}  {MANIFEST_FILE}\n"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_run(run: Run, source: Path, folder: Path) -> None:
    """Write a run and the files of its samples, copied byte for byte from ``source``, into an existing folder.

    Raises:
        RecordError: the run names a file outside its folder, or one that is not there.
        OSError: the folder cannot be written.
    """
    for sample in counted(run.samples, f"copying {run.id}", len(run.samples), "samples"):
        for path in paths_of(sample):
            _copy(source, folder, path)
        save(sample, folder / sample.place)
    save(run, folder / RUN_FILE)


def _copy(source: Path, folder: Path, path: str) -> None:
    if not is_safe_path(path):
        raise RecordError(f"{source / RUN_FILE} names {path!r}, which leads out of its folder; it was not made here.")
    if (folder / path).exists():
        return
    try:
        data = (source / path).read_bytes()
    except FileNotFoundError as error:
        raise RecordError(f"{source / path}: there is no such file; copy the run as a whole, or run again.") from error
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / path, data)


def take(baseline: Baseline, keys: Collection[CaseKey], folder: Path) -> Run:
    """Copy some cases and seeds of a baseline into a job's folder, so that the job is whole without the store.

    Raises:
        OSError: the folder cannot be written.
    """
    run = selected(baseline.run, keys)
    folder.mkdir(exist_ok=True)
    save(baseline.manifest, folder / TAKEN_FILE)
    write_run(run, baseline.folder, folder)
    return run


def selected(run: Run, keys: Collection[CaseKey]) -> Run:
    """The run of some of its cases and seeds, as if no others had been planned, and each once."""
    cases, seeds = {key.case for key in keys}, {key.seed for key in keys}
    plan = run.plan.model_copy(
        update={
            "cases": [case for case in run.plan.cases if case.id in cases],
            "seeds": [seed for seed in run.plan.seeds if seed in seeds],
            "repeats": Repeats(in_process=1, processes=1),
        }
    )
    return run.model_copy(
        update={"plan": plan, "samples": [sample for sample in run.samples if sample.key in set(keys)]}
    )
