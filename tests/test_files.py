"""A reader sees the old file or the new one, whatever happens to the writer."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from harness.files import remove_leftovers, write_atomically, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


def test_the_bytes_arrive(tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    write_atomically(tmp_path / "new.bin", data)
    assert (tmp_path / "new.bin").read_bytes() == data


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"a long first version")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_and_line_ends_stay_single_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "words.md", "Maß ≤ 3\nzwei\n")
    assert (tmp_path / "words.md").read_bytes() == b"Ma\xc3\x9f \xe2\x89\xa4 3\nzwei\n"


def test_text_that_has_no_bytes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "words.md"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half a pair: \ud800")
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("failure", [OSError("no space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace"])
def test_a_failure_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, place: str
) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(place, fail)
    with pytest.raises(type(failure)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        order.append(f"fsync of {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("replace in the same folder" if self.parent == target.parent else "replace from elsewhere")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(tmp_path / "record.json", b"12345")
    assert order == ["fsync of 5 bytes", "replace in the same folder"]


def test_a_missing_folder_is_an_error_not_a_new_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "record.json", b"")
    assert not list(tmp_path.iterdir())


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_atomically(tmp_path / "record.json", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "record.json").stat().st_mode) == 0o644


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_a_reader_beside_the_writer_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    versions = [bytes([letter]) * 200_000 for letter in b"abcdefgh"]
    write_atomically(path, versions[0])

    def write_all() -> None:
        for version in versions * 3:
            write_atomically(path, version)

    writer = Thread(target=write_all)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(versions)


# --- what killed processes leave -------------------------------------------------------------------------------------

WRITER = """
import os, sys
from pathlib import Path
from harness.files import write_atomically

flush = os.fsync

def pause(descriptor):
    print("half way", flush=True)
    sys.stdin.readline()
    flush(descriptor)

os.fsync = pause
write_atomically(Path(sys.argv[1]), b"new")
"""


@contextmanager
def half_way(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing a file; a line on its standard input lets it go on."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        yield process


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_what_a_killed_writer_left_is_removed_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b"old")
    with half_way(tmp_path / "record.json") as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert len(hidden(tmp_path)) == 1, "a kill leaves something, or this test shows nothing"
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert (tmp_path / "record.json").read_bytes() == b"old"


def test_what_another_process_is_writing_stays_and_arrives(tmp_path: Path) -> None:
    with half_way(tmp_path / "record.json") as process:
        remove_leftovers(tmp_path)
        assert len(hidden(tmp_path)) == 1
        process.communicate("go on\n")
        assert process.returncode == 0
    assert (tmp_path / "record.json").read_bytes() == b"new"
    assert hidden(tmp_path) == []


def test_files_and_folders_of_others_stay(tmp_path: Path) -> None:
    others = [".notes.part", "0123456789abcdef.part", ".0123456789abcdef", ".0123456789ABCDEF.part"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".0123456789abcdef.part").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".0123456789abcdef.part").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, ".0123456789abcdef.part", "below"])
    assert hidden(tmp_path / "below") == [".0123456789abcdef.part"]


def test_a_file_that_is_taken_for_a_leftover_before_it_is_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, begun = os.open, []

    def open_and_lose(path: Path, flags: int, mode: int) -> int:
        descriptor = opened(path, flags, mode)
        begun.append(path.name)
        if len(begun) == 1:
            remove_leftovers(tmp_path)
            assert not path.exists()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    write_atomically(tmp_path / "record.json", b"whole")
    assert (tmp_path / "record.json").read_bytes() == b"whole"
    assert len(set(begun)) == 2
    assert hidden(tmp_path) == []


def test_where_there_are_no_locks_files_are_written_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".0123456789abcdef.part").touch()
    write_atomically(tmp_path / "record.json", b"whole")
    remove_leftovers(tmp_path)
    assert (tmp_path / "record.json").read_bytes() == b"whole"
    assert hidden(tmp_path) == [".0123456789abcdef.part"]
