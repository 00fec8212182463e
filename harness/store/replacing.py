"""A folder that is replaced as a whole: a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.files import flush_folder
from harness.store.folders import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` that takes its name when the block ends; an error leaves everything as it was.

    What a killed process left is completed or cleaned first. The folder above stays locked meanwhile.

    Raises:
        RunError: another process is at work there.
        OSError: the place is read-only or full; the old folder is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, old = _part(target), _old(target)
    with locked(target.parent):
        _complete(target)
        try:
            part.mkdir()
            yield part
            _flush(part)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        if target.exists():
            target.rename(old)
        part.rename(target)
        flush_folder(target.parent)
        shutil.rmtree(old, ignore_errors=True)


def readable(target: Path) -> Path:
    """The folder to read: ``target``, or the old one where a kill fell between the two renames."""
    return _old(target) if not target.exists() and _old(target).exists() else target


def leftovers(parent: Path) -> list[Path]:
    """What killed processes left below a folder, sorted."""
    return sorted(path for end in ("part", "old") for path in parent.glob(f".*.{end}") if path.is_dir())


def owner(leftover: Path) -> str:
    """Name of the folder that a leftover belongs to."""
    return leftover.name.removeprefix(".").rpartition(".")[0]


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _complete(target: Path) -> None:
    """Finish what a killed process began: its new folder was never whole, its old one may be the only one."""
    if _old(target).exists() and not target.exists():
        _old(target).rename(target)
    for leftover in (_old(target), _part(target)):
        if leftover.exists():
            shutil.rmtree(leftover)


def _flush(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            flush_folder(path)
