"""A place without room, or that cannot be written, ends in exit code 3 and words, and never in a verdict.

A limit on the size of files stands for a full disk everywhere; where this user may mount, there is a full disk too.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.images import read_kept
from harness.records import MANIFEST_FILE
from harness.store.baselines import problems, sha256_of
from harness.store.folders import load_run
from tests.command_line import Ended, environment, patience_seconds
from tests.kills import FORMATS, NAME, PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.command_line import RunHarness
    from tests.kills import Workplace

pytestmark = pytest.mark.slow

LARGEST_FILE_BYTES = 4096
FREE_BYTES = 16_384


class Tight:
    """A folder that has room until it is filled; here, files cannot grow once it is full."""

    refusal = "File too large"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._full = False

    def fill(self) -> None:
        self._full = True

    def make_room(self) -> None:
        self._full = False

    def give(self, workplace: Workplace, *words: str | Path) -> Ended:
        """Give a command in a workplace."""
        largest = LARGEST_FILE_BYTES if self._full else resource.RLIM_INFINITY
        done = subprocess.run(
            [sys.executable, "-m", "harness", *map(str, words)],
            cwd=workplace.folder,
            env=environment(),
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY)),
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


class TightDisk(Tight):
    """A file system of its own with room for some megabytes, and then for none."""

    refusal = "No space left on device"

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                filler.truncate(filler.tell() - FREE_BYTES)

    def make_room(self) -> None:
        (self.folder / "filler").unlink()


def mount(folder: Path) -> bool:
    """Put a small file system in a folder; False where this user may not."""
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        mounted = mount(Path(folder))
        if mounted:
            unmount(Path(folder))
    return mounted


@pytest.fixture(params=[Tight, TightDisk] if may_mount() else [Tight])
def tight(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tight]:
    folder = tmp_path / "tight"
    folder.mkdir()
    if request.param is TightDisk:
        assert mount(folder)
    try:
        yield request.param(folder)
    finally:
        if request.param is TightDisk:
            unmount(folder)


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".old"))]


def test_a_check_without_room_is_an_error_and_the_same_command_works_once_there_is_room(
    tight: Tight, workplace: Workplace
) -> None:
    words = ("check", "small.yaml", "--runs-dir", tight.folder / "runs")
    tight.fill()
    ended = tight.give(workplace, *words)
    assert ended.code == 3, ended.out
    assert tight.refusal in ended.out + ended.err
    assert "internal error" not in ended.err
    assert left_over(tight.folder) == []
    tight.make_room()
    ended = tight.give(workplace, *words)
    assert ended.code == 0, ended.err


def test_a_baseline_survives_an_accept_without_room(tight: Tight, workplace: Workplace) -> None:
    store = tight.folder / "baselines"
    words = ("baseline", "accept", workplace.run_folder, "--reason", "There is room for it.", "--baselines-dir", store)
    assert tight.give(workplace, *words).code == 0
    digest = sha256_of(store / NAME / MANIFEST_FILE)
    tight.fill()
    ended = tight.give(workplace, *words)
    assert ended.code == 3
    assert "the system refused: [Errno" in ended.err
    assert tight.refusal in ended.err
    assert sha256_of(store / NAME / MANIFEST_FILE) == digest
    assert problems(store / NAME, NAME) == []
    assert left_over(store) == []
    tight.make_room()
    assert tight.give(workplace, *words).code == 0


def test_no_half_pack_and_no_half_report_is_left_without_room(tight: Tight, workplace: Workplace) -> None:
    comparison = workplace.run_folder.parent / "comparison-repeat-candidate.json"
    pack = ("baseline", "pack", NAME, "--out", tight.folder / "small.zip")
    report = ("report", comparison, "--out", tight.folder / "report", "--format", "html,md,json,junit,csv,summary")
    tight.fill()
    for words in (pack, report):
        ended = tight.give(workplace, *words)
        assert ended.code == 3
        assert tight.refusal in ended.err
    assert left_over(tight.folder) == []
    assert not (tight.folder / "small.zip").exists()
    whole = {path.name for path in (tight.folder / "report").iterdir()}
    assert whole < FORMATS
    tight.make_room()
    assert [tight.give(workplace, *words).code for words in (pack, report)] == [0, 0]
    assert {path.name for path in (tight.folder / "report").iterdir()} == FORMATS


def test_a_place_that_cannot_be_written_is_named(workplace: Workplace, run_harness: RunHarness, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("in the place of a folder", encoding="utf-8")
    comparison = workplace.run_folder.parent / "comparison-repeat-candidate.json"
    accept = ("baseline", "accept", workplace.run_folder, "--reason", "It cannot be kept here.")
    for words in (
        (*accept, "--baselines-dir", blocked / "baselines"),
        ("baseline", "pack", NAME, "--baselines-dir", workplace.folder / "baselines", "--out", blocked / "small.zip"),
        ("report", comparison, "--out", blocked / "report"),
        ("init", blocked / "project"),
    ):
        ended = run_harness(*words)
        assert ended.code == 3, words
        assert "the system refused" in ended.err
        assert str(blocked) in ended.err
    assert blocked.read_text(encoding="utf-8") == "in the place of a folder"
    assert workplace.problems() == []


def test_two_jobs_share_a_runs_folder_and_mix_nothing(workplace: Workplace) -> None:
    runs = workplace.folder / "shared"
    words = [sys.executable, "-m", "harness", "check", "small.yaml", "--runs-dir", str(runs)]
    both = [
        subprocess.Popen(words, cwd=workplace.folder, env=environment(), stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [each.wait(timeout=patience_seconds()) for each in both] == [0, 0]
    jobs_made = sorted(runs.iterdir())
    assert len(jobs_made) == 2
    for job in jobs_made:
        run = load_run(job / "candidate")
        assert run.id == f"{job.name}/candidate"
        assert sorted(sample.label for sample in run.samples) == sorted(PLACES * len(run.plan.keys))
        for sample in run.samples:
            read_kept(job / "candidate", sample.image)
        assert {path.name for path in (job / "report").iterdir()} == FORMATS
