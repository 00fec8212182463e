"""A record that lies beside good samples, and links that change while they are read: no wrong verdict, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import store
from harness.errors import BaselineDamaged, HarnessError, RecordError
from harness.images import array_digest, read_kept, write_picture
from harness.jobs import compare
from harness.records import RUN_FILE, ArrayRef, Run, Scope, Status
from harness.store import baselines
from tests.compare.stored_runs import CAT, CUP, IDENTICAL_PICTURES, processes, stored_run
from tests.store.test_acceptance import NAME, accept, two_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tests.command_line import RunHarness


def made(folder: Path, cup: str = "AAA AAA", **changes: Any) -> Path:
    """A run as a worker leaves it: its own record, and one beside each sample."""
    stored = stored_run(
        folder, {CUP: processes(cup), CAT: processes("BBB BBB")}, planned={"limits": [IDENTICAL_PICTURES]}, **changes
    )
    for sample in stored.run.samples:
        store.save(sample, folder / "samples" / sample.key.case / str(sample.key.seed) / f"{sample.label}.json")
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record of a run by hand."""
    data = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    change(data)
    (folder / RUN_FILE).write_text(json.dumps(data), encoding="utf-8")


def sample(run: dict[str, Any], case: str, place: int) -> dict[str, Any]:
    chosen: dict[str, Any] = [each for each in run["samples"] if each["key"]["case"] == case][place]
    return chosen


def takes(run: dict[str, Any], *names: str) -> None:
    """The odd sample of the cup takes something from the first one."""
    for name in names:
        sample(run, "cup", 5)[name] = sample(run, "cup", 0)[name]


LIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "the outcome of another sample": (lambda run: takes(run, "image", "float_image", "latents"), "says something else"),
    "the picture of another case": (
        lambda run: sample(run, "cup", 0).update(image=sample(run, "cat", 0)["image"]),
        "says something else",
    ),
    "a sample of another case": (lambda run: sample(run, "cup", 5).update(key={"case": "cat", "seed": 42}), "twice"),
    "a case that was not planned": (
        lambda run: sample(run, "cup", 5).update(key={"case": "dog", "seed": 42}),
        "no such",
    ),
    "a sample left out": (
        lambda run: run["samples"].remove(sample(run, "cup", 5)),
        "has 5 of 6 samples of cup, seed 42",
    ),
    "all samples of a case left out": (
        lambda run: run.update(samples=[each for each in run["samples"] if each["key"]["case"] == "cat"]),
        "has 0 of 6 samples",
    ),
    "a sample twice": (lambda run: run["samples"].append(sample(run, "cup", 0)), "it lists a sample twice"),
    "a sample that was never made": (
        lambda run: run["samples"].append({**sample(run, "cup", 0), "process": 7}),
        "p7r0.json, and there is no such file",
    ),
    "a digest that is no picture's": (lambda run: sample(run, "cup", 0)["image"].update(digest="0" * 64), "else"),
    "a file outside": (lambda run: sample(run, "cup", 0)["image"].update(path="../../secret.png"), "leads out of its"),
    "a file of the system": (lambda run: sample(run, "cup", 0).update(noise_path="/etc/passwd"), "leads out of its"),
    "hidden draws taken out": (lambda run: sample(run, "cup", 4).update(hidden_draws=[]), "says something else"),
    "fewer repeats planned": (
        lambda run: (run["plan"].update(repeats={"in_process": 1, "processes": 1}), run["samples"].pop()),
        "it does not list samples/",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_record_that_lies_beside_good_samples_is_refused_and_nothing_is_lost(lie: str, tmp_path: Path) -> None:
    change, says = LIES[lie]
    run = made(tmp_path / "job" / "cpu", "AAA AAB")
    (tmp_path / "secret.png").write_bytes(b"not yours")
    for each in run.glob("samples/cup/42/p1r1.json"):
        data = json.loads(each.read_text(encoding="utf-8"))
        each.write_text(json.dumps({**data, "hidden_draws": ["torch.rand"]}), encoding="utf-8")
    changed(run, lambda whole: sample(whole, "cup", 4).update(hidden_draws=["torch.rand"]))
    _, comparison = compare.compare(run, run, tmp_path / "honest.json", [])
    assert comparison.outcome in {Status.UNSTABLE, Status.NOT_COMPARABLE}, "the honest record tells of the odd one"
    changed(run, change)
    before = digests(tmp_path)
    with pytest.raises(RecordError, match=rf"{run}/run\.json is not the record of the samples beside it: .*{says}"):
        compare.compare(run, run, None, [])
    assert digests(tmp_path) == before


def test_an_honest_record_is_read_whatever_its_text_looks_like(tmp_path: Path) -> None:
    run = made(tmp_path / "cpu")
    assert store.load_run(run).state == "finished"
    for record in run.glob("samples/*/*/*.json"):
        record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8"))), encoding="utf-8")
    assert store.load_run(run).state == "finished"
    kept = made(tmp_path / "failed", failures=[])
    changed(kept, lambda whole: whole.update(state="unfinished", samples=whole["samples"][:3]))
    with pytest.raises(RecordError, match=r"holds an unfinished run \(3 samples were stored\)"):
        store.load_run(kept)


def test_a_lie_ends_at_the_door_in_wrong_use_and_never_in_a_verdict(tmp_path: Path, run_harness: RunHarness) -> None:
    run = made(tmp_path / "job" / "cpu", "AAA AAB")
    changed(run, LIES["the outcome of another sample"][0])
    before = digests(tmp_path)
    ended = run_harness("compare", run, run)
    assert ended.code == 2, ended.out
    assert "is not the record of the samples beside it" in ended.err
    assert digests(tmp_path) == before


def test_an_interrupted_job_that_was_tampered_with_is_left_alone(tmp_path: Path) -> None:
    from tests.compare.stored_runs import scenario

    job = tmp_path / "20260102T030405Z_stored"
    run = made(job / "cpu", "AAA AAB", state="unfinished")
    store.save(store.Job(state="unfinished", scenario=scenario(), command=[]), job / store.JOB_FILE)
    wanted = {"cpu": store.fingerprint(store.load(Run, run / RUN_FILE))}
    assert store.resumable_job_folder(tmp_path, wanted) == job
    changed(run, LIES["the outcome of another sample"][0])
    before = digests(job)
    assert store.resumable_job_folder(tmp_path, wanted) is None
    assert digests(job) == before


# --- links that change under the reader ------------------------------------------------------------------------------


@contextmanager
def flipping(link: Path, targets: tuple[Path, Path]) -> Iterator[None]:
    """A link that points now to one target and now to the other, as fast as a thread can."""
    done = threading.Event()

    def flip() -> None:
        spare = link.with_name(f"{link.name}.spare")
        while not done.is_set():
            for target in targets:
                spare.symlink_to(target)
                spare.replace(link)

    link.symlink_to(targets[0])
    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def solid(level: int) -> NDArray[np.uint8]:
    return np.full((32, 32, 3), level, np.uint8)


def test_a_picture_behind_a_link_that_changes_is_the_one_or_refused(tmp_path: Path) -> None:
    for level in (10, 200):
        write_picture(tmp_path / f"{level}.png", solid(level))
    ref = ArrayRef(
        digest=array_digest(solid(10)), path="a.png", dtype="uint8", computed_in="float32", shape=[32, 32, 3]
    )
    ends = set()
    with flipping(tmp_path / "a.png", (tmp_path / "10.png", tmp_path / "200.png")):
        for _ in range(5000):
            try:
                assert read_kept(tmp_path, ref).max() == 10
                ends.add("read")
            except HarnessError as error:
                ends.add("refused" if "a.png does not hold what its record says" in str(error) else str(error))
            if len(ends) == 2:
                break
    assert ends == {"read", "refused"}, "the link changed while it was read, or this test shows nothing"


def test_a_run_behind_a_link_that_changes_gets_no_verdict_of_two_runs(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one" / "cpu"), made(tmp_path / "other" / "cpu", "AAA AAB")
    ends = set()
    with flipping(tmp_path / "cpu", (one, other)):
        for _ in range(400):
            try:
                _, comparison = compare.compare(tmp_path / "cpu", tmp_path / "cpu", tmp_path / "out.json", [])
                cup = comparison.repetitions[1 if comparison.repetitions[0].key == CAT else 0]
                ends.add((comparison.outcome.value, cup.status.value))
            except RecordError:
                ends.add(("refused", ""))
            if len(ends) >= 2:
                break
    assert ends <= {("identical", "identical"), ("unstable", "unstable"), ("refused", "")}
    assert len(ends) > 1


def test_a_link_that_changes_between_two_looks_is_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, targets = tmp_path / "cpu", [made(tmp_path / "one" / "cpu"), made(tmp_path / "other" / "cpu", "AAA AAB")]
    link.symlink_to(targets[0])
    real = Path.resolve

    def looked_at(path: Path, *, strict: bool = False) -> Path:
        place = real(path, strict)
        if path == link:
            link.unlink()
            link.symlink_to(targets[1] if place == targets[0] else targets[0])
        return place

    monkeypatch.setattr(Path, "resolve", looked_at)
    _, comparison = compare.compare(link, link, tmp_path / "out.json", [])
    assert comparison.scope is Scope.REPEAT
    assert len(comparison.repetitions) == 2


def test_a_baseline_that_changes_after_it_was_hashed_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    folder = tmp_path / "baselines" / NAME
    assert baselines.read(tmp_path / "baselines", NAME).folder == folder
    real = baselines.problems

    def hashed_then_changed(*words: Any) -> list[str]:
        found = real(*words)
        changed(folder, lambda run: run.update(log_tail="another run"))
        return found

    monkeypatch.setattr(baselines, "problems", hashed_then_changed)
    with pytest.raises(BaselineDamaged, match=r"run\.json was changed while it was read"):
        baselines.read(tmp_path / "baselines", NAME)


def test_a_folder_of_a_baseline_that_is_a_link_is_damage(tmp_path: Path) -> None:
    accept(two_cases(tmp_path / "cpu"), tmp_path / "baselines")
    samples = tmp_path / "baselines" / NAME / "samples"
    shutil.move(samples, tmp_path / "elsewhere")
    samples.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BaselineDamaged, match="samples is surplus"):
        baselines.read(tmp_path / "baselines", NAME)
    assert os.path.islink(samples)  # noqa: PTH114 - it is left as it was
