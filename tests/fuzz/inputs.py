"""Inputs of every kind that are nearly right, and the function of the harness that reads each."""

from __future__ import annotations

import io
import json
import re
import stat
import struct
import warnings
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from harness import scenario, store
from harness.errors import HarnessError, ScenarioError
from harness.images import read_array, read_kept
from harness.jobs import baselines as baseline_jobs
from harness.jobs import compare, report, validate
from harness.jobs.list import listed
from harness.records import (
    MANIFEST_FILE,
    RUN_FILE,
    ArrayRef,
)
from harness.store import baselines, packs
from tests.compare.stored_runs import stored_run
from tests.fuzz.mutations import as_json, mutated, mutated_bytes, mutated_lines, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

ROOT = Path(__file__).parents[2]
BROKEN = "a promise of the harness is broken"


class NotKept(AssertionError):
    """The reader ended as it may, but its words or what it left are not what they ought to be."""


@dataclass(frozen=True)
class Place:
    """Where an input is put and read; nothing may be written above it."""

    folder: Path
    """The folder that the input and all that belongs to it lie in."""

    @property
    def store(self) -> Path:
        """Folder of baselines."""
        return self.folder / "baselines"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of input."""

    make: Callable[[Random], bytes]
    """Draws an input."""
    put: Callable[[Place, bytes], Path]
    """Puts it where it is read, and gives its path."""
    read: Callable[[Place, Path], object]
    """Reads it as the command line does."""
    allowed: tuple[int, ...] = (2,)
    """Exit codes that a refusal may have."""
    words: Callable[[Place, Path], tuple[str | Path, ...]] | None = None
    """Command line that reads it; None where no single one does."""


# --- scenarios -------------------------------------------------------------------------------------------------------

SCENARIOS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "scenarios").glob("tiny-*.yaml"))}
_PLACED = re.compile(r":\d+:\d+: ")
_WITHOUT_PLACE = ("larger than", "cannot be read", "more problems")


def _tree_of(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


TREES = [_tree_of(text) for text in SCENARIOS.values()]


def a_scenario(random: Random) -> bytes:
    """A scenario file whose text, tree or bytes were changed."""
    act = random.randrange(10)
    if act <= 5:
        return as_json(mutated(random.choice(TREES), random)).encode("utf-8", "surrogatepass")
    text = random.choice(list(SCENARIOS.values()))
    if act <= 8:
        return mutated_lines(text, random).encode("utf-8", "surrogatepass")
    return mutated_bytes(text.encode(), random)


def put_scenario(place: Place, data: bytes) -> Path:
    """The scenario, under the name that it gives itself where that can be told."""
    named = re.search(rb"^\"?name\"?: *\"?([a-z0-9-]{1,40})|\"name\": \"([a-z0-9-]{1,40})\"", data, re.MULTILINE)
    stem = (named[1] or named[2]).decode() if named else "tiny"
    path = place.folder / f"{stem}.yaml"
    path.write_bytes(data)
    return path


def read_scenario(_: Place, path: Path) -> object:
    """``harness validate``, and the question of the scenario said again."""
    try:
        found = scenario.load(path)
    except ScenarioError as error:
        for line in str(error).splitlines():
            placed = not line.startswith(str(path)) or _PLACED.match(line.removeprefix(str(path)))
            if not placed and not any(words in line for words in _WITHOUT_PLACE):
                raise NotKept(f"no line and column: {line}") from error
        raise
    return [*validate.warnings(found.scenario), found.scenario.digest]


# --- records ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """A job and a baseline as commands leave them, made once."""

    folder: Path
    job: Path
    run: Path
    name: str

    @staticmethod
    def made(folder: Path) -> Stored:
        """Make them."""
        from tests.compare.stored_runs import CAT, CUP, job_folder, processes
        from tests.store.test_acceptance import accept

        job = job_folder(folder / "runs" / "20260102T030405Z_stored", ("one", "AAB AAB"), ("other", "AC"))
        compare.compare(job / "one", job / "one", None, [])
        run = stored_run(folder / "two" / "cpu", {CUP: processes("AA AA"), CAT: processes("BB BB")}).folder
        kept = accept(run, folder / "baselines")
        packs.pack(folder / "baselines", kept.manifest.name, folder / "whole.zip")
        return Stored(folder=folder, job=job, run=job / "one", name=kept.manifest.name)


class Inputs:
    """Every kind of input, drawn from what is stored in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.stored = Stored.made(folder)
        self._run = json.loads((self.stored.run / RUN_FILE).read_text(encoding="utf-8"))
        self._job = json.loads((self.stored.job / store.JOB_FILE).read_text(encoding="utf-8"))
        (comparison,) = self.stored.job.glob("comparison-*.json")
        self._comparison_name = comparison.name
        self._comparison = json.loads(comparison.read_text(encoding="utf-8"))
        self._baseline = folder / "baselines" / self.stored.name
        self._manifest = json.loads((self._baseline / MANIFEST_FILE).read_text(encoding="utf-8"))
        self._kept_run = json.loads((self._baseline / RUN_FILE).read_text(encoding="utf-8"))
        self._pack = (folder / "whole.zip").read_bytes()
        self.kinds: Mapping[str, Kind] = {
            "scenario": Kind(
                make=a_scenario, put=put_scenario, read=read_scenario, words=lambda _, path: ("validate", path)
            ),
            "run": Kind(
                make=self._record(self._run),
                put=self._put_in_job(f"one/{RUN_FILE}"),
                read=read_run,
                words=lambda _, path: ("compare", path.parent, path.parent),
            ),
            "job": Kind(make=self._record(self._job), put=self._put_in_job(store.JOB_FILE), read=read_job),
            "comparison": Kind(
                make=self._record(self._comparison),
                put=self._put_in_job(self._comparison_name),
                read=read_comparison,
                words=lambda _, path: ("gate", path),
            ),
            "manifest": Kind(
                make=self._record(self._manifest),
                put=self._put_in_baseline(MANIFEST_FILE),
                read=read_baseline,
                allowed=(3,),
                words=lambda place, _: ("baseline", "verify", "--baselines-dir", place.store),
            ),
            "baseline": Kind(
                make=self._record(self._kept_run),
                put=self._put_in_baseline(RUN_FILE),
                read=read_baseline,
                allowed=(3,),
            ),
            "pack": Kind(
                make=self._packed,
                put=put_pack,
                read=read_pack,
                allowed=(2, 3),
                words=lambda place, path: ("baseline", "unpack", path, "--baselines-dir", place.store),
            ),
            "arrays": Kind(make=arrays, put=put_arrays, read=read_arrays),
        }

    def _record(self, tree: Any) -> Callable[[Random], bytes]:
        def make(random: Random) -> bytes:
            if random.random() < 0.8:
                return as_json(mutated(tree, random)).encode("utf-8", "surrogatepass")
            return mutated_bytes(json.dumps(tree, indent=2).encode(), random)

        return make

    def _put_in_job(self, name: str) -> Callable[[Place, bytes], Path]:
        def put(place: Place, data: bytes) -> Path:
            job = place.folder / "runs" / self.stored.job.name
            copytree(self.stored.job, job)
            (job / name).write_bytes(data)
            return job / name

        return put

    def _put_in_baseline(self, name: str) -> Callable[[Place, bytes], Path]:
        """A baseline whose hashes agree with what was changed, as whoever changed it on purpose would see to."""

        def put(place: Place, data: bytes) -> Path:
            folder = place.store / self.stored.name
            copytree(self._baseline, folder)
            (folder / name).write_bytes(data)
            if name != MANIFEST_FILE:
                files = [_again(each, name, folder) for each in self._manifest["files"]]
                (folder / MANIFEST_FILE).write_text(json.dumps({**self._manifest, "files": files}), encoding="utf-8")
            (folder / baselines.HASH_FILE).write_text(
                f"{baselines.sha256_of(folder / MANIFEST_FILE)}  {MANIFEST_FILE}\n", encoding="utf-8"
            )
            return folder / name

        return put

    def _packed(self, random: Random) -> bytes:
        """A pack whose bytes, directory, members or manifest were changed."""
        act = random.randrange(4)
        if act == 0:
            return mutated_bytes(self._pack, random)
        if act == 1:
            return directory_that_lies(self._pack, random)
        with zipfile.ZipFile(io.BytesIO(self._pack)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        if act == 2:
            name, data = members[0]
            members[0] = name, as_json(mutated(json.loads(data), random)).encode("utf-8", "surrogatepass")
            return zipped(members, random, strange=0.1)
        return self._renamed(members, random)

    def _renamed(self, members: list[tuple[str, bytes]], random: Random) -> bytes:
        """Members that have other names, in the manifest as well."""
        names = [name for name, _ in members[1:]]
        chosen = random.choice(names)
        other = random.choice(names)
        folder, _, leaf = other.rpartition("/")
        above = [folder, f"{other}/{leaf}", "run.json/x", f"{leaf}/", "manifest.json", baselines.HASH_FILE, "Run.json"]
        alike = [
            other,
            other.upper(),
            other.title(),
            f"{other}.",
            f"{folder}/e\u0301",
            f"{folder}/\xe9",
            f"{folder}/NUL",
        ]
        outside = [f"{folder}/./{leaf}", f"../{leaf}", f"/{leaf}", str(scalar(random))]
        long = [f"{folder}/{'x' * 300}", "/".join("d" * 3000)]
        new = random.choice([*above, *alike, *outside, *long])
        manifest = members[0][1].decode().replace(json.dumps(chosen), json.dumps(new))
        renamed = [(new if name == chosen else name, data) for name, data in members[1:]]
        if random.random() < 1 / 2:
            renamed.append((random.choice([name for name, _ in renamed]), b"again"))
        return zipped([(MANIFEST_FILE, manifest.encode()), *renamed], random, strange=0.2)


def _again(entry: Any, name: str, folder: Path) -> Any:
    if entry["path"] != name:
        return entry
    return {**entry, "sha256": baselines.sha256_of(folder / name), "bytes": (folder / name).stat().st_size}


def read_run(_: Place, path: Path) -> object:
    """``harness list runs``, and ``harness compare`` of a run with itself."""
    rows = listed("runs", runs_folder=path.parents[2], scenarios_folder=path, baselines_folder=path)
    return rows, compare.compare(path.parent, path.parent, None, [])


def read_job(_: Place, path: Path) -> object:
    """``harness report`` of a job, and the search for one that can be resumed."""
    store.resumable_job_folder(path.parents[1], {})
    return report.report(sorted(path.parent.glob("comparison-*.json")), ["json", "junit", "md"], path.parent / "report")


def read_comparison(_: Place, path: Path) -> object:
    """``harness gate`` and ``harness report``."""
    judged = compare.gate([path], None)
    return judged, report.report([path], ["json", "junit", "csv", "md"], path.parent / "report")


def read_baseline(place: Place, _: Path) -> object:
    """``harness baseline verify``, which tells what is wrong, then ``list`` and ``compare``, which refuse it."""
    names = baselines.names(place.store)
    told = baseline_jobs.verify_baselines(place.store, [], place.folder / "scenarios")
    listed("baselines", runs_folder=place.folder, scenarios_folder=place.folder, baselines_folder=place.store)
    kept = [baselines.read(place.store, name) for name in names]
    if any(each.problems for each in told):
        raise NotKept(f"told {told}, and read {len(kept)} baselines all the same")
    folder = kept[0].folder
    return compare.compare(folder, folder, place.folder / "comparison.json", [])


# --- packs -----------------------------------------------------------------------------------------------------------


def zipped(members: list[tuple[str, bytes]], random: Random, *, strange: float) -> bytes:
    """An archive of members, some of them of a kind that no pack has."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two members of one name are wanted
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.filename = name  # a NUL would cut the name off here, and not in a pack of somebody else's
            mode = (
                random.choice((stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO)) if random.random() < strange else stat.S_IFREG
            )
            info.external_attr = (mode | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED if random.random() < strange / 2 else zipfile.ZIP_STORED
            with suppress(UnicodeEncodeError, struct.error):  # such a name fits into no archive
                archive.writestr(info, data)
    return out.getvalue()


_ENTRY = b"PK\x01\x02"
_END = b"PK\x05\x06"
_ENTRY_FIELDS = (4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 36, 38, 42)
_LOCAL_FIELDS = (4, 6, 8, 14, 18, 22, 26, 28)
_END_FIELDS = (4, 6, 8, 10, 12, 16, 20)


def directory_that_lies(data: bytes, random: Random) -> bytes:
    """An archive in which some field of a header says something else."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        mark, fields = random.choice(((_ENTRY, _ENTRY_FIELDS), (b"PK\x03\x04", _LOCAL_FIELDS), (_END, _END_FIELDS)))
        places = [found.start() for found in re.finditer(re.escape(mark), changed)]
        at = random.choice(places) + random.choice(fields)
        size = random.choice((2, 4))
        number = random.choice((0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, random.getrandbits(32)))
        old = int.from_bytes(changed[at : at + size], "little")
        new = random.choice((number, old + 1, old - 1, old + random.randrange(10_000))) % 256**size
        changed[at : at + size] = new.to_bytes(size, "little")
    return bytes(changed)


def put_pack(place: Place, data: bytes) -> Path:
    """The pack, beside an empty folder of baselines."""
    path = place.folder / "carried.zip"
    path.write_bytes(data)
    return path


def read_pack(place: Place, path: Path) -> object:
    """``harness baseline unpack``: whole, or nothing at all."""
    try:
        kept = packs.unpack(path, place.store, replace=False)
    except HarnessError:
        left = [each for each in place.store.rglob("*") if each.name != ".lock" and not each.is_dir()]
        if left or baselines.names(place.store):
            raise NotKept(f"refused, and {left} are left") from None
        raise
    if found := baselines.problems(kept.folder, kept.manifest.name):
        raise NotKept(f"unpacked, and not whole: {found}")
    return kept


# --- arrays ----------------------------------------------------------------------------------------------------------

_LATENTS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
_WHOLE = safetensors.numpy.save({"latents": _LATENTS, "noise.0": _LATENTS[0]}, {"computed_in": "bfloat16"})
_TYPES = (
    *("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "I16", "U16", "F16", "BF16", "I32", "U32"),
    *("F32", "C64", "F64", "I64", "U64", "C128", "f32", ""),
)


def arrays(random: Random) -> bytes:
    """A safetensors file whose bytes, header or types were changed."""
    length = int.from_bytes(_WHOLE[:8], "little")
    header, values = json.loads(_WHOLE[8 : 8 + length]), _WHOLE[8 + length :]
    act = random.randrange(4)
    if act == 0:
        return mutated_bytes(_WHOLE, random)
    if act == 1:
        header = mutated(header, random)
    elif act == 2:
        kind = random.choice(_TYPES)
        size = int("".join(re.findall("[0-9]+", kind)[:1]) or 8) // 8 or 1
        entry = {"dtype": kind, "shape": [2, 3, 4], "data_offsets": [0, 24 * size]}
        if random.random() < 0.3:
            entry["shape"] = random.choice(([24], [12], [48], [2**40, 2**40], [0], [], [-1], [2**64], [4, 3, 2]))
        header, values = {"latents": entry, "__metadata__": {}}, random.randbytes(24 * size)
    else:
        for name in random.sample(["latents", "noise.0"], random.choice((1, 2))):
            header[name]["data_offsets"] = [random.choice((0, 1, 96, 144, 2**40, -1)) for _ in range(2)]
    text = as_json(header).encode("utf-8", "surrogatepass")
    said = random.choice((len(text),) * 6 + (0, 1, 2**62, 2**64 - 1, len(text) + 1, len(text) - 1))
    return struct.pack("<Q", said) + text + values


def put_arrays(place: Place, data: bytes) -> Path:
    """The arrays in a folder as if of a run."""
    path = place.folder / "p0r0.safetensors"
    path.write_bytes(data)
    return path


def read_arrays(place: Place, path: Path) -> object:
    """An array alone, and as a record names it."""
    ref = ArrayRef(
        digest="0" * 64, path=path.name, name="latents", dtype="float32", computed_in="bfloat16", shape=[2, 3, 4]
    )
    with suppress(HarnessError):
        read_kept(place.folder, ref)
    with suppress(HarnessError):
        read_array(path, "noise.0")
    return read_array(path, "latents").tobytes()
