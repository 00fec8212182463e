"""What embedded checkpoints of DeepGen-1.0 have in common: the pipeline's code, and files that name no size."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

FILES = Path(__file__).parent / "checkpoint"

_NOT_THE_MODEL = ("__pycache__", "README.md")
"""What may lie beside a checkpoint's files: the words of a model card do not change which model it is."""


def copy_files(source: Path, destination: Path) -> None:
    """Copy every file of a checkpoint, or of a part of one, into a folder that exists; a model card stays behind."""
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_file() and not set(inside.parts) & set(_NOT_THE_MODEL):
            target = destination / inside
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)


def checkpoint_digest(folder: Path) -> str:
    """SHA-256 over the relative path and the SHA-256 of every file below the folder, sorted by path."""
    digest = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
