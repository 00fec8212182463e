"""A pack that is cut off, lies about its members, or has names that clash is refused before anything is written."""

from __future__ import annotations

import os
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from harness.errors import BaselineDamaged, RecordError
from harness.records import MANIFEST_FILE
from harness.store import baselines, packs
from tests.store.test_acceptance import NAME, accept, two_cases
from tests.store.test_packs import PICTURE, listing, rewritten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.command_line import RunHarness

OTHER = "samples/cat/42/p0r0.png"
ENTRY, END, LOCAL = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"
ENTRY_SIZE, ENTRY_NAME, ENTRY_OFFSET = 24, 46, 42


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A packed baseline."""
    accept(two_cases(tmp_path / "made" / "cpu"), tmp_path / "made" / "baselines")
    packs.pack(tmp_path / "made" / "baselines", NAME, tmp_path / "cpu.zip")
    return tmp_path / "cpu.zip"


@contextmanager
def nothing_is_written(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Not even a file that is taken away again: the first step towards one fails the test."""

    def begun(*_: object) -> None:
        pytest.fail("something was written before the pack was refused")

    monkeypatch.setattr(packs, "replaced", begun)
    monkeypatch.setattr(packs, "_extract", begun)
    yield
    assert not store.exists()


def number_at(  # noqa: PLR0913 - a field of a header
    path: Path, mark: bytes, field: int, number: int, *, which: int = -1, size: int = 4
) -> None:
    """Write a number into a field of a header; the last header of its kind where nothing is said."""
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data.startswith(mark, at)]
    at = places[which] + field
    assert data[at : at + size] != number.to_bytes(size, "little")
    data[at : at + size] = number.to_bytes(size, "little")
    path.write_bytes(data)


def swapped(path: Path) -> None:
    """The directory sends the reader of a member to another."""
    with zipfile.ZipFile(path) as archive:
        number_at(path, ENTRY, ENTRY_OFFSET, archive.infolist()[1].header_offset)


def cut(path: Path, keep: Callable[[int], int]) -> None:
    os.truncate(path, keep(path.stat().st_size))


def without_values(path: Path) -> None:
    """The directory is whole, and what it speaks of was cut out before it."""
    data = path.read_bytes()
    directory = data.index(ENTRY)
    path.write_bytes(data[: directory // 2] + data[directory:])


LIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off in the directory": (lambda path: cut(path, lambda size: size - 200), "cut off, damaged or no pack"),
    "cut off in a picture": (lambda path: cut(path, lambda size: size // 2), "cut off, damaged or no pack"),
    "cut off in the first header": (lambda path: cut(path, lambda _: 20), "cut off, damaged or no pack"),
    "cut out in the middle": (without_values, "cut off, damaged or no pack"),
    "a directory beyond the end": (lambda path: number_at(path, END, 16, 2**31 - 1), "cut off, damaged or no pack"),
    "a directory before the beginning": (lambda path: number_at(path, END, 16, 2**32 - 2), "cut off, damaged"),
    "a directory of no entries": (lambda path: number_at(path, END, 12, 0), f"does not begin with {MANIFEST_FILE}"),
    "a member beyond the end": (lambda path: number_at(path, ENTRY, ENTRY_OFFSET, 2**31 - 1), "cut off, damaged"),
    "the manifest beyond the end": (
        lambda path: number_at(path, ENTRY, ENTRY_OFFSET, 2**31 - 1, which=0),
        "cut off, damaged or no pack",
    ),
    "the place of another member": (swapped, "cut off, damaged or no pack"),
    "larger than the file": (lambda path: number_at(path, ENTRY, ENTRY_SIZE, 2**31 - 1), "and is stored in"),
    "smaller than it is": (lambda path: number_at(path, ENTRY, ENTRY_SIZE, 1), "and is stored in"),
    "stored in more than it is": (lambda path: number_at(path, ENTRY, 20, 2**31 - 1), "and is stored in 2147483647"),
    "no header of its own": (lambda path: number_at(path, LOCAL, 0, 0), "cut off, damaged or no pack"),
    "encrypted": (lambda path: number_at(path, ENTRY, 8, 1, size=2), "is compressed or encrypted"),
}

CLASHES: dict[str, tuple[str, str]] = {
    "a file of the name of a folder": ("samples/cat", "'samples/cat' is a file, and 'samples/cat/42/"),
    "a file below a file": (f"{OTHER}/x.png", f"'{OTHER}' is a file, and '{OTHER}/x.png' needs a folder"),
    "a file below the run": ("run.json/x.png", "'run.json' is a file, and"),
    "a file below the manifest": (f"{MANIFEST_FILE}/x.png", f"'{MANIFEST_FILE}' is a file, and"),
    "the name of another in capitals": (OTHER.upper(), "are one name where case or accents do not count"),
    "a folder in capitals, of the name of a file": ("RUN.json/x.png", "'run.json' is a file, and"),
    "the name of the run in capitals": ("Run.json", "are one name where case or accents do not count"),
    "the name of the manifest": ("MANIFEST.json", "are one name where case or accents do not count"),
    "the name of the manifest's hash": (baselines.HASH_FILE, "are one name where case or accents do not count"),
    "a name that is too long": (f"samples/{'x' * 250}", "longer than a file's name may be"),
    "a path that is too long": ("/".join(["deep"] * 500), "longer than a file's name may be"),
    "a colour of the terminal": ("samples/\x1b[31m.png", "leads out of the folder"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_pack_that_lies_is_refused_before_the_first_byte(
    lie: str, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm, says = LIES[lie]
    harm(pack)
    with (
        nothing_is_written(tmp_path / "store", monkeypatch),
        pytest.raises(BaselineDamaged, match=rf"^{pack} cannot be unpacked: .*({says})"),
    ):
        packs.unpack(pack, tmp_path / "store", replace=False)


@pytest.mark.parametrize("clash", CLASHES)
def test_names_that_clash_are_refused_before_the_first_byte(
    clash: str, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, says = CLASHES[clash]
    listing(pack, PICTURE, new.replace("\x1b", "\\u001b") if "\x1b" in new else new)
    if "\x1b" in new:
        rewritten(pack, rename={new.replace("\x1b", "\\u001b"): new})
    with (
        nothing_is_written(tmp_path / "store", monkeypatch),
        pytest.raises(BaselineDamaged, match=rf"^{pack} cannot be unpacked: .*{says}"),
    ):
        packs.unpack(pack, tmp_path / "store", replace=False)


def test_two_ways_to_write_an_accent_are_one_name(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing(pack, PICTURE, "samples/e\u0301.png".encode("unicode_escape").decode())
    with zipfile.ZipFile(pack) as archive:
        (escaped,) = (name for name in archive.namelist() if "u0301" in name)
    rewritten(pack, rename={escaped: "samples/e\u0301.png"})
    listing(pack, OTHER, "samples/\\u00e9.png")
    rewritten(pack, rename={"samples/\\u00e9.png": "samples/\u00e9.png"})
    with (
        nothing_is_written(tmp_path / "store", monkeypatch),
        pytest.raises(BaselineDamaged, match="are one name where case or accents do not count"),
    ):
        packs.unpack(pack, tmp_path / "store", replace=False)


def test_names_that_only_look_alike_are_unpacked(pack: Path, tmp_path: Path) -> None:
    packs._refuse_clashes(pack, ["samples/a", "samples/ab", "samples/b/a", "b", "a b", "samplesa"])
    assert packs.unpack(pack, tmp_path / "store", replace=False).manifest.name == NAME


def test_what_is_no_file_is_wrong_use(tmp_path: Path) -> None:
    for name in (".", "a\0b", "x" * 5000):
        with pytest.raises(RecordError, match="cannot be read"):
            packs.unpack(tmp_path / name, tmp_path / "store", replace=False)


def test_a_full_disk_is_not_called_damage(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packs, "_extract", full)
    with pytest.raises(OSError, match="No space left"):
        packs.unpack(pack, tmp_path / "store", replace=False)
    assert baselines.names(tmp_path / "store") == []


def test_a_clash_ends_at_the_door_as_damage_does(pack: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    listing(pack, PICTURE, "samples/cat")
    ended = run_harness("baseline", "unpack", pack, "--baselines-dir", tmp_path / "store")
    assert ended.code == 3
    assert "is a file, and" in ended.err
    assert "Nothing was written" in ended.err
    assert not (tmp_path / "store").exists()
