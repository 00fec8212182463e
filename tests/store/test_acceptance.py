"""What may become a baseline, what bars it, and that a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import store
from harness.errors import BaselineDamaged, NotAcceptable, RecordError, RunError, UsageError
from harness.images import array_digest, write_arrays, write_picture
from harness.noise import noise_digest
from harness.records import MANIFEST_FILE, RUN_FILE, Case, Draw, NoiseMode, Run, Sample
from harness.store import acceptance, baselines
from tests.command_line import patience_seconds
from tests.compare.stored_runs import CAT, CUP, Made, failure, letter, one_case, processes, stored_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.store.baselines import Baseline

ROOT = Path(__file__).resolve().parents[2]
NAME = "stored/cpu"


def accept(run: Path, folder: Path, *, modes: bool = False, reason: str = "The pictures were looked at.") -> Baseline:
    return acceptance.accept(
        run,
        folder,
        reason=reason,
        who="Tester",
        commit="0123abc",
        accepted_utc="2026-01-02T03:04:05+00:00",
        modes=modes,
    )


def two_cases(folder: Path, **changes: Any) -> Path:
    return stored_run(folder, {CUP: processes("AA AA"), CAT: processes("BB BB")}, **changes).folder


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_an_accepted_run_is_kept_with_one_sample_of_each_outcome(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    found = baselines.read(tmp_path / "baselines", NAME)
    assert (found.manifest, found.run) == (made.manifest, made.run)
    assert [(str(each.key), each.label) for each in found.run.samples] == [
        ("cup, seed 42", "p0r0"),
        ("cat, seed 42", "p0r0"),
    ]
    assert [(each.modes, each.runs, each.processes) for each in found.manifest.accepted] == [(1, 4, 2), (1, 4, 2)]
    assert {each.path for each in found.manifest.files} == {
        "run.json",
        *(f"samples/{case}/42/p0r0.{end}" for case in ("cat", "cup") for end in ("json", "png", "safetensors")),
    }
    assert (found.manifest.who, found.manifest.commit) == ("Tester", "0123abc")
    assert store.load(Sample, found.folder / "samples" / "cup" / "42" / "p0r0.json") == found.run.samples[0]


def test_the_digest_of_a_manifest_is_that_of_its_file(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    data = (made.folder / MANIFEST_FILE).read_bytes()
    assert made.manifest.digest == hashlib.sha256(data).hexdigest()
    assert (made.folder / "manifest.sha256").read_text() == f"{made.manifest.digest}  manifest.json\n"


def test_no_file_of_a_baseline_knows_where_it_lies(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) == 9
    assert [path for path in files if str(tmp_path).encode() in path.read_bytes()] == []


def test_with_modes_every_outcome_is_kept_and_counted(tmp_path: Path) -> None:
    run = one_case(tmp_path / "cpu", "ABA BBA").folder
    with pytest.raises(NotAcceptable, match=r"not deterministic: 2 distinct outcomes in 6 runs.*--modes"):
        accept(run, tmp_path / "baselines")
    made = accept(run, tmp_path / "baselines", modes=True)
    assert [each.label for each in made.run.samples] == ["p0r0", "p0r1"]
    (case,) = made.manifest.accepted
    assert (case.modes, case.runs, case.processes) == (2, 6, 2)


# --- what bars a run -------------------------------------------------------------------------------------------------


def blank(run: Path) -> None:
    """Make the picture of the cup one colour, in its file and in its record."""
    picture = np.full((32, 32, 3), 200, np.uint8)
    write_picture(run / "samples/cup/42/p0r0.png", picture)
    digested(run, "image", array_digest(picture))


def not_finite(name: str) -> Callable[[Path], None]:
    """Put a NaN into an array of the cup, in its file and in its record."""

    def spoil(run: Path) -> None:
        arrays = {"latents": np.zeros((1, 16, 4, 4), np.float32), "float_image": np.zeros((32, 32, 3), np.float32)}
        arrays[name].flat[7] = np.nan if name == "latents" else np.inf
        write_arrays(run / "samples/cup/42/p0r0.safetensors", arrays, {})
        for each, array in arrays.items():
            digested(run, each, array_digest(array))

    return spoil


def digested(run: Path, name: str, digest: str) -> None:
    """All samples of the cup have this digest for one of their arrays."""
    stored = store.load(Run, run / RUN_FILE)
    samples = [
        sample.model_copy(update={name: getattr(sample, name).model_copy(update={"digest": digest})})
        if sample.key == CUP
        else sample
        for sample in stored.samples
    ]
    store.save(stored.model_copy(update={"samples": samples}), run / RUN_FILE)


def other_noise_in_the_file(run: Path) -> None:
    """The record says that something else was drawn than the file holds."""
    stored = store.load(Run, run / RUN_FILE)
    values = np.ones((2, 2), np.float32)
    draw = Draw(shape=[2, 2], dtype="float32", function="randn", source=NoiseMode.DEVICE, digest=noise_digest(values))
    write_arrays(run / "samples/cup/42/noise-1.safetensors", {"noise.0": values * 2}, {})
    path = "samples/cup/42/noise-1.safetensors"
    samples = [each.model_copy(update={"draws": [draw], "noise_path": path}) for each in stored.samples]
    store.save(stored.model_copy(update={"samples": samples}), run / RUN_FILE)


def of_one(one: Made, times: int = 2) -> Callable[[Path], Path]:
    return lambda folder: stored_run(folder, {CUP: [[one] * times]}).folder


BARRED: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None] | None, str]] = {
    "unfinished": (lambda path: two_cases(path, state="unfinished"), None, r"the run is unfinished \(8 samples were"),
    "failures": (lambda path: two_cases(path, failures=[failure()]), None, "it has 1 failures.*out of memory"),
    "disturbed": (
        lambda path: two_cases(path, planned={"perturbation": {"kind": "latent_ulp"}}),
        None,
        "it was disturbed on purpose",
    ),
    "no environment": (lambda path: two_cases(path, environment=None), None, "what it ran on was not recorded"),
    "one sample": (of_one(letter("A"), 1), None, "cup, seed 42 was made 1 time, which is no evidence"),
    "no sample": (lambda path: stored_run(path, {}, keys=[CUP]).folder, None, "cup, seed 42 was made 0 times"),
    "unstable": (lambda path: one_case(path, "AB").folder, None, "2 distinct outcomes in 2 runs"),
    "hidden draws": (
        of_one(replace(letter("A"), hidden_draws=("torch.rand was called",))),
        None,
        r"drew noise that is not known \(torch.rand was called\)",
    ),
    "another noise": (
        lambda path: stored_run(path, {CUP: [[letter("A"), replace(letter("A"), noise="other")]]}).folder,
        None,
        "did not have the same noise in all runs",
    ),
    "duplicate": (
        lambda path: (
            stored_run(
                path,
                {CUP: processes("AA"), CAT: processes("AA")},
                planned={"cases": [Case(id="cup", prompt="a red cup"), Case(id="cat", prompt="a cat")]},
            ).folder
        ),
        None,
        "cup, seed 42 and cat, seed 42 gave the same image",
    ),
    "blank": (two_cases, blank, r"the image of cup, seed 42 \(p0r0\) shows nothing: every pixel is 200, 200, 200"),
    "NaN latents": (two_cases, not_finite("latents"), "the latents of cup.* hold 1 values that are NaN or infinite"),
    "infinite output": (two_cases, not_finite("float_image"), "the float output of cup.* hold 1 values"),
    "noise": (two_cases, other_noise_in_the_file, "the noise file of cup.* does not hold what was drawn: draw 0"),
}


@pytest.mark.parametrize("fault", BARRED)
def test_a_run_that_cannot_be_relied_on_is_refused(fault: str, tmp_path: Path) -> None:
    make, spoil, says = BARRED[fault]
    run = make(tmp_path / "cpu")
    if spoil:
        spoil(run)
    with pytest.raises(NotAcceptable, match=says):
        accept(run, tmp_path / "baselines")
    assert not (tmp_path / "baselines").exists()


@pytest.mark.parametrize("fault", ["hidden draws", "another noise", "one sample"])
def test_modes_excuse_nothing_but_several_outcomes(fault: str, tmp_path: Path) -> None:
    make, _, says = BARRED[fault]
    with pytest.raises(NotAcceptable, match=says):
        accept(make(tmp_path / "cpu"), tmp_path / "baselines", modes=True)


def test_all_reasons_are_given_at_once(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "cpu", {CUP: processes("A"), CAT: processes("AB")}).folder
    with pytest.raises(NotAcceptable, match=r"cup, seed 42 was made 1 time.*cat, seed 42 is not deterministic"):
        accept(run, tmp_path / "baselines")


@pytest.mark.parametrize("reason", ["", "it is ok", "   looks      "])
def test_a_reason_that_is_none_is_wrong_use(reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fewer than 10 characters"):
        accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines", reason=reason)


def test_a_run_whose_files_were_changed_is_refused(tmp_path: Path) -> None:
    run = two_cases(tmp_path / "cpu")
    write_picture(run / "samples/cup/42/p0r0.png", np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3))
    with pytest.raises(RecordError, match=r"p0r0\.png does not hold what its record says"):
        accept(run, tmp_path / "baselines")
    assert not (tmp_path / "baselines").exists()


def test_a_run_that_names_files_outside_its_folder_is_refused(tmp_path: Path) -> None:
    run = two_cases(tmp_path / "cpu")
    stored = store.load(Run, run / RUN_FILE)
    shutil.copy(run / "samples/cup/42/p0r0.safetensors", tmp_path / "outside.safetensors")
    samples = [each.model_copy(update={"noise_path": "../outside.safetensors"}) for each in stored.samples]
    store.save(stored.model_copy(update={"samples": samples}), run / RUN_FILE)
    with pytest.raises(RecordError, match="leads out of its folder"):
        accept(run, tmp_path / "baselines")
    assert baselines.names(tmp_path / "baselines") == []


def test_a_baseline_is_no_run_to_accept(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    with pytest.raises(NotAcceptable, match="no evidence"):
        accept(made.folder, tmp_path / "others")


# --- replacing -------------------------------------------------------------------------------------------------------


def test_accepting_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    accept(two_cases(tmp_path / "old" / "cpu"), tmp_path / "baselines")
    made = accept(one_case(tmp_path / "new" / "cpu", "CC").folder, tmp_path / "baselines")
    assert baselines.read(tmp_path / "baselines", NAME).manifest == made.manifest
    assert not (made.folder / "samples" / "cat").exists()
    assert baselines.unfinished(tmp_path / "baselines") == []


def test_a_refused_run_leaves_the_old_baseline(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "old" / "cpu"), tmp_path / "baselines")
    with pytest.raises(NotAcceptable):
        accept(one_case(tmp_path / "new" / "cpu", "AB").folder, tmp_path / "baselines")
    assert baselines.read(tmp_path / "baselines", NAME).manifest == made.manifest


def test_two_processes_do_not_accept_at_once(tmp_path: Path) -> None:
    accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    with store.locked(tmp_path / "baselines" / "stored"), pytest.raises(RunError, match="in use by another process"):
        accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")


KILLED = """
import os, shutil, signal, sys
from itertools import count
from pathlib import Path
from tests.store.test_acceptance import accept

run, kept, folder = map(Path, sys.argv[1:])
left = 0

def counted(original):
    def call(*words, **options):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*words, **options)
    return call

for name in ("rename", "replace", "mkdir", "fsync", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
for turn in count(1):
    left = -1
    shutil.copytree(kept, folder / str(turn))
    if not (child := os.fork()):
        left = turn
        accept(run, folder / str(turn))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        break
"""
"""Accepts over and over; the n-th child is killed at its n-th call that changes the disk, the last one at none."""


def test_a_kill_at_any_moment_leaves_the_old_baseline_or_the_new_one(tmp_path: Path) -> None:
    old = accept(one_case(tmp_path / "old" / "cpu", "AA").folder, tmp_path / "kept").manifest
    run = one_case(tmp_path / "new" / "cpu", "CC").folder
    new = accept(run, tmp_path / "other").manifest
    subprocess.run(
        [sys.executable, "-c", KILLED, str(run), str(tmp_path / "kept"), str(tmp_path / "killed")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=patience_seconds(),
        check=True,
    )
    seen = set()
    for folder in sorted((tmp_path / "killed").iterdir()):
        found = baselines.read(folder, NAME).manifest
        assert found in (old, new)
        assert baselines.names(folder) == [NAME]
        seen.add((found == new, len(baselines.unfinished(folder))))
        accept(run, folder)
        assert baselines.read(folder, NAME).manifest == new
        assert baselines.unfinished(folder) == []
    assert len(list((tmp_path / "killed").iterdir())) > 15
    assert {False, True} == {is_new for is_new, _ in seen}, "kills must fall on both sides of the change"
    assert any(left for _, left in seen), "some kill must leave something to clean"


# --- damage ----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def linked(path: Path) -> None:
    path.symlink_to(path.rename(path.parents[1] / "moved"))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit in a picture": (lambda at: flip(at / "samples/cup/42/p0r0.png"), "p0r0.png is damaged: SHA-256"),
    "a flipped bit in arrays": (
        lambda at: flip(at / "samples/cup/42/p0r0.safetensors"),
        "p0r0.safetensors is damaged: SHA-256",
    ),
    "a flipped bit in the run": (lambda at: flip(at / "run.json"), "run.json is damaged: SHA-256"),
    "a flipped bit in the manifest": (lambda at: flip(at / MANIFEST_FILE), MANIFEST_FILE),
    "another hash of the manifest": (
        lambda at: (at / "manifest.sha256").write_text("0" * 64),
        "manifest.json is damaged or was edited",
    ),
    "no hash of the manifest": (lambda at: (at / "manifest.sha256").unlink(), "manifest.sha256 cannot be read"),
    "a cut file": (lambda at: os.truncate(at / "samples/cup/42/p0r0.png", 100), "is damaged: 100 bytes, accepted were"),
    "a missing file": (lambda at: (at / "samples/cat/42/p0r0.png").unlink(), "samples/cat/42/p0r0.png is missing"),
    "no manifest": (lambda at: (at / MANIFEST_FILE).unlink(), f"{MANIFEST_FILE} cannot be read"),
    "a surplus file": (lambda at: (at / "notes.txt").write_text("mine"), "notes.txt is surplus"),
    "a link": (lambda at: linked(at / "run.json"), "run.json is a link"),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_damage_is_named_and_never_read(fault: str, tmp_path: Path) -> None:
    harm, says = DAMAGE[fault]
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    assert baselines.problems(made.folder, NAME) == []
    harm(made.folder)
    (problem,) = baselines.problems(made.folder, NAME)
    assert says in problem
    with pytest.raises(BaselineDamaged, match="is not what was accepted"):
        baselines.read(tmp_path / "baselines", NAME)


def test_a_renamed_baseline_is_not_another_one(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    made.folder.rename(made.folder.with_name("gpu"))
    (problem,) = baselines.problems(made.folder.with_name("gpu"), "stored/gpu")
    assert "is that of stored/cpu: the folder was renamed" in problem


def test_an_edited_manifest_is_seen(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    store.save(made.manifest.model_copy(update={"who": "Somebody"}), made.folder / MANIFEST_FILE)
    (problem,) = baselines.problems(made.folder, NAME)
    assert "manifest.json is damaged or was edited: SHA-256" in problem


def test_a_run_that_the_manifest_does_not_speak_of_is_refused(tmp_path: Path) -> None:
    made = accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    samples = [each.model_copy(update={"noise_path": "../../outside"}) for each in made.run.samples]
    plan = made.run.plan.model_copy(update={"scenario": "other"})
    store.save(made.run.model_copy(update={"samples": samples, "plan": plan}), made.folder / RUN_FILE)
    files = [
        each.model_copy(
            update={
                "sha256": baselines.sha256_of(made.folder / each.path),
                "bytes": (made.folder / each.path).stat().st_size,
            }
        )
        for each in made.manifest.files
    ]
    baselines.write_manifest(made.manifest.model_copy(update={"files": files}), made.folder)
    found = baselines.problems(made.folder, NAME)
    assert found == [
        "run.json is not the run that manifest.json speaks of",
        "run.json names '../../outside', which the manifest does not list",
    ]


@pytest.mark.parametrize("name", ["stored", "stored/cpu/more", "../cpu", "stored/..", "/cpu", "stored/"])
def test_a_name_that_is_none_is_wrong_use(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give it as SCENARIO/ARM"):
        baselines.read(tmp_path, name)
