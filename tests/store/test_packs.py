"""A baseline that travels arrives byte for byte, or not at all; a foreign file leads nowhere else."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from harness.errors import BaselineDamaged, BaselineMissing, RecordError, RunError, UsageError
from harness.records import MANIFEST_FILE
from harness.store import baselines, packs
from tests.compare.stored_runs import one_case
from tests.store.test_acceptance import NAME, accept, two_cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A store with one baseline."""
    accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    return tmp_path / "baselines"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_packed_baseline_arrives_byte_for_byte(kept: Path, tmp_path: Path) -> None:
    packed = packs.pack(kept, NAME, tmp_path / "cpu.zip")
    arrived = packs.unpack(tmp_path / "cpu.zip", tmp_path / "elsewhere", replace=False)
    assert arrived.manifest == packed.manifest
    assert contents(tmp_path / "elsewhere" / NAME) == contents(kept / NAME)
    again = packs.unpack(tmp_path / "cpu.zip", tmp_path / "elsewhere", replace=False)
    assert again.manifest == packed.manifest, "the same one may come again"


def test_the_bytes_of_a_pack_depend_on_the_baseline_alone(kept: Path, tmp_path: Path) -> None:
    packs.pack(kept, NAME, tmp_path / "one.zip")
    for path in (kept / NAME).rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    packs.pack(kept, NAME, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    packs.unpack(tmp_path / "one.zip", tmp_path / "elsewhere", replace=False)
    packs.pack(tmp_path / "elsewhere", NAME, tmp_path / "three.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "three.zip").read_bytes()


def test_another_baseline_of_that_name_is_replaced_only_when_told(kept: Path, tmp_path: Path) -> None:
    old = packs.pack(kept, NAME, tmp_path / "old.zip").manifest
    new = accept(one_case(tmp_path / "new" / "cpu", "CC").folder, kept).manifest
    with pytest.raises(UsageError, match=f"{new.digest}.*{old.digest}.*--replace"):
        packs.unpack(tmp_path / "old.zip", kept, replace=False)
    assert baselines.read(kept, NAME).manifest == new
    assert packs.unpack(tmp_path / "old.zip", kept, replace=True).manifest == old


def test_a_damaged_baseline_is_not_packed(kept: Path, tmp_path: Path) -> None:
    (kept / NAME / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BaselineDamaged, match=r"run\.json is damaged"):
        packs.pack(kept, NAME, tmp_path / "cpu.zip")
    assert not (tmp_path / "cpu.zip").exists()


# --- packs that are not to be believed -------------------------------------------------------------------------------


def rewritten(  # noqa: PLR0913 - each kind of fault
    path: Path,
    *,
    rename: dict[str, str] | None = None,
    data: dict[str, bytes] | None = None,
    more: list[tuple[str, bytes]] | None = None,
    mode: dict[str, int] | None = None,
    compress: int = zipfile.ZIP_STORED,
) -> None:
    """Write a pack again with some of its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, content in [*members, *(more or [])]:
            info = zipfile.ZipInfo((rename or {}).get(name, name))
            info.compress_type = compress
            info.external_attr = (mode or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, (data or {}).get(name, content))


def listing(path: Path, old: str, new: str) -> None:
    """Name a member otherwise in the manifest as well."""
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read(MANIFEST_FILE)
    changed = manifest.replace(old.encode(), new.encode())
    assert changed != manifest
    rewritten(path, rename={old: new}, data={MANIFEST_FILE: changed})


def doubled(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        rewritten(path, more=[(PICTURE, b"another")])


def bomb(path: Path) -> None:
    """One member of a gigabyte of zeros, which deflate makes a thousand times smaller."""
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read(MANIFEST_FILE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST_FILE), manifest)
        archive.writestr("run.json", b"0" * 2**24)


def overlapping(path: Path) -> None:
    """Two entries of the directory that promise the same bytes."""
    with zipfile.ZipFile(path) as archive:
        place = {info.filename: info.header_offset for info in archive.infolist()}
    mine, others = (place[name].to_bytes(4, "little") for name in (PICTURE, "samples/cat/42/p0r0.png"))
    data = path.read_bytes()
    changed = data.replace(mine + PICTURE.encode(), others + PICTURE.encode())
    assert changed != data
    path.write_bytes(changed)


PICTURE = "samples/cup/42/p0r0.png"
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty file": (lambda path: path.write_bytes(b""), "cut off, damaged or no pack"),
    "not an archive": (lambda path: path.write_bytes(b"PK nothing of it" * 99), "cut off, damaged or no pack"),
    "cut off at the end": (lambda path: os.truncate(path, path.stat().st_size - 30), "cut off, damaged or no pack"),
    "cut off early": (lambda path: os.truncate(path, 5000), "cut off, damaged or no pack"),
    "leads up": (lambda path: listing(path, PICTURE, "../../../up.png"), "leads out of the folder"),
    "absolute": (lambda path: listing(path, PICTURE, "/up.png"), "leads out of the folder"),
    "of another system": (lambda path: listing(path, PICTURE, "c:/up.png"), "leads out of the folder"),
    "a link": (lambda path: rewritten(path, mode={PICTURE: stat.S_IFLNK | 0o777}), "is a link, a device or a folder"),
    "a device": (lambda path: rewritten(path, mode={PICTURE: stat.S_IFCHR | 0o666}), "is a link, a device or a folder"),
    "a pipe": (lambda path: rewritten(path, mode={PICTURE: stat.S_IFIFO | 0o666}), "is a link, a device or a folder"),
    "a name twice": (doubled, "surplus"),
    "a bomb": (bomb, "its files are not those of its manifest"),
    "compressed": (lambda path: rewritten(path, compress=zipfile.ZIP_DEFLATED), "is compressed or encrypted"),
    "the bytes of another": (overlapping, "cut off, damaged or no pack"),
    "a member too many": (lambda path: rewritten(path, more=[("extra.py", b"1")]), r"surplus \['extra\.py'\]"),
    "a member too few": (lambda path: rewritten(path, rename={PICTURE: "x.png"}), rf"missing \['{PICTURE}'\]"),
    "a member too large": (lambda path: rewritten(path, data={PICTURE: b"1" * 9999}), "has 9999 bytes, its manifest"),
    "no manifest": (
        lambda path: rewritten(path, rename={MANIFEST_FILE: "m"}),
        f"does not begin with {MANIFEST_FILE}",
    ),
    "a manifest that is none": (lambda path: rewritten(path, data={MANIFEST_FILE: b"{}"}), "is not a Manifest"),
    "a manifest too large": (
        lambda path: rewritten(path, data={MANIFEST_FILE: b" " * (2**24 + 1)}),
        "allowed are 16777216",
    ),
    "another scenario": (
        lambda path: listing(path, '"scenario": "stored"', '"scenario": "others"'),
        "is not the run that",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_pack_that_is_not_as_packed_writes_nothing(fault: str, kept: Path, tmp_path: Path) -> None:
    harm, says = FAULTS[fault]
    path = tmp_path / "carried" / "cpu.zip"
    path.parent.mkdir()
    packs.pack(kept, NAME, path)
    harm(path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(BaselineDamaged, match=says):
        packs.unpack(path, tmp_path / "elsewhere", replace=False)
    written = {each for each in set(tmp_path.rglob("*")) - before if each.is_file() and each.name != ".lock"}
    assert written == set()
    assert baselines.names(tmp_path / "elsewhere") == []


def test_content_that_keeps_its_size_is_seen_by_its_hash(kept: Path, tmp_path: Path) -> None:
    packs.pack(kept, NAME, tmp_path / "cpu.zip")
    size = (kept / NAME / PICTURE).stat().st_size
    rewritten(tmp_path / "cpu.zip", data={PICTURE: b"1" * size})
    with pytest.raises(BaselineDamaged, match=f"{PICTURE} of the pack does not hold"):
        packs.unpack(tmp_path / "cpu.zip", tmp_path / "elsewhere", replace=False)
    assert baselines.names(tmp_path / "elsewhere") == []


def test_every_flipped_bit_of_a_pack_is_seen_or_changes_nothing(kept: Path, tmp_path: Path) -> None:
    path = tmp_path / "cpu.zip"
    manifest = packs.pack(kept, NAME, path).manifest
    whole = path.read_bytes()
    seen = 0
    for place in range(0, len(whole), len(whole) // 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(damaged))
        target = tmp_path / f"at-{place}"
        try:
            arrived = packs.unpack(path, target, replace=False)
        except BaselineDamaged:
            seen += 1
            assert baselines.names(target) == []
        else:  # a date or another field that nobody reads
            assert arrived.manifest == manifest
            assert contents(target / NAME) == contents(kept / NAME)
    assert seen > 50


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no such file"):
        packs.unpack(tmp_path / "nowhere.zip", tmp_path / "baselines", replace=False)


# --- other places ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/"])
def test_what_is_pushed_can_be_pulled(form: str, kept: Path, tmp_path: Path) -> None:
    place = form.format(tmp_path / "shared" / "deep")
    (pushed,) = packs.push(kept, [], place)
    assert contents(tmp_path / "shared" / "deep").keys() == {"stored/cpu.zip"}
    (pulled,) = packs.pull(place, [], tmp_path / "elsewhere", replace=False)
    assert pulled.manifest == pushed.manifest
    (named,) = packs.pull(place, [NAME], tmp_path / "third", replace=False)
    assert named.manifest == pushed.manifest


def test_what_is_not_there_is_named(kept: Path, tmp_path: Path) -> None:
    packs.push(kept, [NAME], str(tmp_path / "shared"))
    with pytest.raises(BaselineMissing, match="has no pack of stored/gpu; it has stored/cpu"):
        packs.pull(str(tmp_path / "shared"), ["stored/gpu"], tmp_path / "elsewhere", replace=False)
    with pytest.raises(BaselineMissing, match="it has none"):
        packs.pull(str(tmp_path / "nowhere"), [], tmp_path / "elsewhere", replace=False)
    with pytest.raises(BaselineMissing, match="there are no baselines"):
        packs.push(tmp_path / "nowhere", [], str(tmp_path / "shared"))
    with pytest.raises(BaselineMissing, match="there is no baseline stored/gpu"):
        packs.push(kept, ["stored/gpu"], str(tmp_path / "shared"))


@pytest.mark.parametrize(("url", "says"), [("s3://bucket/x", "s3fs"), ("nope://x", "Protocol not known: nope")])
def test_a_place_without_a_driver_says_which(url: str, says: str, kept: Path) -> None:
    with pytest.raises(RunError, match=f"{says}.*Install the fsspec driver"):
        packs.push(kept, [], url)


def test_without_fsspec_the_extra_is_named(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(RunError, match=r"pip install .*\[remote\]'"):
        packs.push(kept, [], str(tmp_path / "shared"))
