"""A reader sees the old file or the new one, whatever happens to the writer."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from harness.files import write_atomically, write_text


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
