"""A baseline as one file that travels: the same baseline gives the same bytes, and a foreign file is not believed.

A pack is a zip archive without compression: what it unpacks to can never be larger than the pack itself.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BaselineDamaged, BaselineMissing, RecordError, RunError, UsageError
from harness.files import is_safe_path
from harness.progress import counted, task
from harness.records import MANIFEST_FILE, Manifest, StoredFile, from_json
from harness.store.baselines import HASH_FILE, Baseline, names, problems, read, write_manifest
from harness.store.replacing import replaced
from harness.suggestions import install
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = stat.S_IFREG | 0o644
_PIECE = 2**20
_ENCRYPTED = 1
_LONGEST_NAME, _LONGEST_PATH = 200, 1000
"""Bytes of a name, and of a whole path below the baseline; the harness's own have about a tenth."""
LARGEST_MANIFEST = 2**24
"""Most bytes a manifest may have; one of ten thousand pictures has about a third."""


def pack(baselines_folder: Path, name: str, out: Path) -> Baseline:
    """Write a baseline as one file, whole or not at all; its bytes depend on the baseline alone.

    Raises:
        BaselineMissing: there is none of that name.
        BaselineDamaged: it is not what was accepted.
        OSError: the file cannot be written.
    """
    baseline = read(baselines_folder, name)
    with _growing(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        paths = [MANIFEST_FILE, *(file.path for file in baseline.manifest.files)]
        for path in counted(paths, f"packing {name}", len(paths), "files"):
            info = zipfile.ZipInfo(path, _DATE)
            info.create_system, info.external_attr = 3, _MODE << 16  # as on Linux, wherever it is packed
            archive.writestr(info, (baseline.folder / path).read_bytes())
    return baseline


def unpack(path: Path, baselines_folder: Path, *, replace: bool) -> Baseline:
    """Put a packed baseline in its place, after comparing every byte with its manifest.

    Raises:
        BaselineDamaged: the file is cut off, damaged, or not as the harness packs.
        UsageError: another baseline has that name, and ``replace`` was not given.
        RecordError: the file cannot be read.
        RunError: another process is at work on the same scenario's baselines.
        OSError: the store is read-only or full; nothing was changed.
    """
    with _opened(path) as archive:
        with _refused_as_damaged(path, *_DAMAGE, OSError):  # before anything is written, so that it is all the pack's
            manifest = _manifest(path, archive)
            members = _members(path, archive, manifest)
        if not replace:
            _refuse_other(baselines_folder, manifest)
        with _refused_as_damaged(path, *_DAMAGE), replaced(baselines_folder / manifest.name) as folder:
            inside = archive.infolist()[1:]
            for info in counted(inside, f"unpacking {manifest.name}", len(inside), "files"):
                _extract(path, archive, info, members[info.filename], folder / info.filename)
            write_manifest(manifest, folder)
            if damage := problems(folder, manifest.name):
                raise _refusal(path, "; ".join(damage))
    return read(baselines_folder, manifest.name)


_DAMAGE = (
    *(zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error),
    zlib.error,
)
"""What zipfile raises on archives that are damaged or lie."""


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of a pack.

    Raises:
        RecordError: the file cannot be read.
        BaselineDamaged: it is no archive.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise RecordError(f"{path}: there is no such file; give one that harness baseline pack wrote.") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}. Give a file that harness baseline pack wrote.") from error
    with stream:
        with _refused_as_damaged(path, *_DAMAGE, OSError):
            archive = zipfile.ZipFile(stream)
        with archive:
            yield archive


@contextmanager
def _refused_as_damaged(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turn what a library raises on a damaged pack into a refusal."""
    try:
        yield
    except kinds as error:
        why = one_line(str(error)) or type(error).__name__
        raise _refusal(path, f"it is cut off, damaged or no pack ({why})") from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    first = archive.infolist()[0] if archive.infolist() else None
    if first is None or first.filename != MANIFEST_FILE:
        raise _refusal(path, f"it does not begin with {MANIFEST_FILE}")
    _refuse_member(path, first)
    if first.file_size > LARGEST_MANIFEST:
        raise _refusal(path, f"its {MANIFEST_FILE} has {first.file_size} bytes, allowed are {LARGEST_MANIFEST}")
    try:
        return from_json(Manifest, archive.read(first).decode(), place=f"{path}: {MANIFEST_FILE}")
    except RecordError as error:
        raise _refusal(path, str(error).removesuffix(".")) from error


def _members(path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> dict[str, StoredFile]:
    """What the manifest says of each member; everything that does not agree with it is refused before it is read."""
    stated = {file.path: file for file in manifest.files}
    inside = [info.filename for info in archive.infolist()[1:]]
    if sorted(inside) != sorted(stated):
        lacking, surplus = sorted(set(stated) - set(inside)), sorted(set(inside) - set(stated))
        raise _refusal(path, f"its files are not those of its manifest: missing {lacking}, surplus {surplus}")
    _refuse_clashes(path, [MANIFEST_FILE, HASH_FILE, *inside])
    for info in archive.infolist()[1:]:
        _refuse_member(path, info)
        if info.compress_size != info.file_size:
            raise _refusal(path, f"{info.filename} has {info.file_size} bytes and is stored in {info.compress_size}")
        with archive.open(info):  # which reads the member's own header: the directory may lie about its place
            pass
        if info.file_size != stated[info.filename].bytes:
            size = stated[info.filename].bytes
            raise _refusal(path, f"{info.filename} has {info.file_size} bytes, its manifest says {size}")
    if (total := sum(info.file_size for info in archive.infolist())) > path.stat().st_size:
        raise _refusal(path, f"it promises {total} bytes and has {path.stat().st_size}")
    return stated


def _refuse_clashes(path: Path, names: Sequence[str]) -> None:
    """Names that are one and the same, or a file and a folder at once, on this system or on another."""
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.get(_folded(name))) is not None:
            raise _refusal(path, f"{name!r} and {first!r} are one name where case or accents do not count")
        seen[_folded(name)] = name
    for name in names:
        parts = _folded(name).split("/")
        for end in range(1, len(parts)):
            if (above := seen.get("/".join(parts[:end]))) is not None:
                raise _refusal(path, f"{above!r} is a file, and {name!r} needs a folder of that name")
        if any(len(word.encode()) > _LONGEST_NAME for word in name.split("/")) or len(name.encode()) > _LONGEST_PATH:
            raise _refusal(path, f"{one_line(name)!r} is longer than a file's name may be")


def _folded(name: str) -> str:
    """A name as file systems see it that tell neither capitals nor ways of writing accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _refuse_member(path: Path, info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if not is_safe_path(info.filename) or not is_safe_path(info.orig_filename) or not info.filename.isprintable():
        raise _refusal(path, f"{info.orig_filename!r} leads out of the folder")
    if kind not in {0, stat.S_IFREG}:
        raise _refusal(path, f"{info.filename} is a link, a device or a folder")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
        raise _refusal(path, f"{info.filename} is compressed or encrypted")


def _refuse_other(baselines_folder: Path, manifest: Manifest) -> None:
    if manifest.name not in names(baselines_folder):
        return
    there = read(baselines_folder, manifest.name).manifest
    if there.digest != manifest.digest:
        raise UsageError(
            f"{baselines_folder} already holds another {manifest.name}: {there.digest}, accepted {there.accepted_utc} "
            f"({there.why}); the packed one is {manifest.digest}, accepted {manifest.accepted_utc} ({manifest.why}). "
            "Give --replace to take the packed one."
        )


def _extract(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, stated: StoredFile, target: Path) -> None:
    """Write one member in pieces and compare it with its hash."""
    target.parent.mkdir(parents=True, exist_ok=True)
    state = hashlib.sha256()
    with archive.open(info) as source, target.open("xb") as sink:
        while piece := source.read(_PIECE):
            sink.write(piece)
            state.update(piece)
        sink.flush()
        os.fsync(sink.fileno())
    if state.hexdigest() != stated.sha256:
        raise _refusal(path, f"{info.filename} of the pack does not hold what its manifest says")


def _refusal(path: Path, observed: str) -> BaselineDamaged:
    return BaselineDamaged(
        f"{path} cannot be unpacked: {observed}. Nothing was written; copy it again, or pack the baseline again."
    )


@contextmanager
def _growing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its name when it is whole; the next attempt overwrites what a kill left."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# --- other places ----------------------------------------------------------------------------------------------------


def push(baselines_folder: Path, wanted: Sequence[str], target: str) -> list[Baseline]:
    """Put packs of baselines, all where none is named, into a folder that fsspec reaches: ``SCENARIO/ARM.zip``.

    Raises:
        BaselineMissing: there is none to push.
        RunError: fsspec or its driver for the place is not installed.
    """
    chosen = list(wanted) or names(baselines_folder)
    if not chosen:
        raise BaselineMissing(f"there are no baselines in {baselines_folder}; harness baseline accept makes one.")
    place, root = _place(target)
    pushed = []
    with tempfile.TemporaryDirectory(prefix="harness-push-") as scratch:
        for name in chosen:
            local, remote = Path(scratch) / "pack.zip", f"{root}/{name}.zip"
            pushed.append(pack(baselines_folder, name, local))
            place.makedirs(remote.rpartition("/")[0], exist_ok=True)
            with task(f"sending {name}"):
                place.put_file(str(local), f"{remote}.part")
            place.mv(f"{remote}.part", remote)
    return pushed


def pull(source: str, wanted: Sequence[str], baselines_folder: Path, *, replace: bool) -> list[Baseline]:
    """Unpack packs, all where none is named, from a folder that fsspec reaches.

    Raises:
        BaselineMissing: there are none, or not the one that was named.
        RunError: fsspec or its driver for the place is not installed.
    """
    place, root = _place(source)
    packs = {path.removesuffix(".zip")[len(root) + 1 :]: path for path in place.glob(f"{root}/*/*.zip")}
    chosen = list(wanted) or sorted(packs)
    lacking = [name for name in chosen if name not in packs]
    if lacking or not chosen:
        there = ", ".join(sorted(packs)) or "none"
        raise BaselineMissing(f"{source} has no pack of {', '.join(lacking) or 'a baseline'}; it has {there}.")
    pulled = []
    with tempfile.TemporaryDirectory(prefix="harness-pull-") as scratch:
        for number, name in enumerate(chosen):
            local = Path(scratch) / f"{number}.zip"
            with task(f"fetching {name}"):
                place.get_file(packs[name], str(local))
            pulled.append(unpack(local, baselines_folder, replace=replace))
            local.unlink()
    return pulled


def _place(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the path of the URL on it without a slash at its end."""
    try:
        core: Any = import_module("fsspec.core")
    except ImportError as error:
        raise RunError(
            f"{url} needs fsspec, which is not installed: {install('remote')}\nOr copy the file that harness baseline "
            "pack writes."
        ) from error
    try:
        place, path = core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise RunError(f"{url} cannot be reached: {error}. Install the fsspec driver of its protocol.") from error
    return place, path.rstrip("/")
