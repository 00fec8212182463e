"""What is kept can be found, moved and resumed; what is unfinished, held or of another kind is left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from harness import store
from harness.errors import NothingSelected, RecordError, RunError
from harness.jobs import compare, report
from harness.records import RUN_FILE, Comparison, ModelIdentity, Run, Status
from harness.store import folders
from tests.compare.stored_runs import job_folder, model_identity, one_case, scenario, sha

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


# --- new folders -----------------------------------------------------------------------------------------------------


def test_jobs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.new_job_folder(tmp_path / "runs", "stored"), range(64)))
    assert len(set(made)) == 64
    assert all(folder.is_dir() for folder in made)
    stamps = {folder.name.partition("_")[0] for folder in made}
    assert len(stamps) < 64, "several were made within one second, or this test shows nothing"
    assert all(folder.name.partition("_")[2].startswith("stored") for folder in made)


# --- locks -----------------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from harness import store
with store.locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock of a folder while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_folder_held_by_another_process_is_refused_until_it_ends(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path), pytest.raises(RunError, match="is in use by another process"):
        store.locked(tmp_path).__enter__()
    with store.locked(tmp_path):
        assert folders._is_locked(tmp_path)
    assert not folders._is_locked(tmp_path)


def test_the_lock_of_a_killed_process_goes_with_it(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path) as process:
        process.kill()
    assert (tmp_path / ".lock").exists()
    assert not folders._is_locked(tmp_path)
    with store.locked(tmp_path):
        assert folders._is_locked(tmp_path)


def test_an_error_under_the_lock_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="planted"), store.locked(tmp_path):
        raise ValueError("planted")
    assert not folders._is_locked(tmp_path)


# --- going on --------------------------------------------------------------------------------------------------------


State = Literal["unfinished", "finished"]


def interrupted(
    folder: Path, *, arm: str = "portable", job: State = "unfinished", state: State = "unfinished", **changes: Any
) -> Run:
    """A job folder as it is left when the process is killed while an arm is made."""
    folder.mkdir(parents=True, exist_ok=True)
    store.save(store.Job(state=job, scenario=scenario(), command=[]), folder / store.JOB_FILE)
    return one_case(folder / arm, "AA", state=state, **changes).run


def wanted_for(run: Run, arm: str = "portable") -> dict[str, store.Fingerprint]:
    return {arm: store.fingerprint(run)}


def test_an_interrupted_job_is_found(tmp_path: Path) -> None:
    run = interrupted(tmp_path / "20260102T030405Z_stored")
    found = store.resumable_job_folder(tmp_path, wanted_for(run))
    assert found == tmp_path / "20260102T030405Z_stored"


def test_the_newest_of_several_is_taken(tmp_path: Path) -> None:
    for stamp in ("20260102T030405Z", "20260102T030407Z", "20260102T030406Z"):
        run = interrupted(tmp_path / f"{stamp}_stored")
    assert store.resumable_job_folder(tmp_path, wanted_for(run)) == tmp_path / "20260102T030407Z_stored"


def test_where_there_is_none_none_is_found(tmp_path: Path) -> None:
    run = interrupted(tmp_path / "elsewhere" / "20260102T030405Z_stored")
    assert store.resumable_job_folder(tmp_path / "nowhere", wanted_for(run)) is None
    (tmp_path / "runs" / "20260102T030405Z_empty").mkdir(parents=True)
    assert store.resumable_job_folder(tmp_path / "runs", wanted_for(run)) is None


OTHER: dict[str, dict[str, Any]] = {
    "plan": {"planned": {"steps": 4}},
    "code": {"code_digest": sha("other code")},
    "host": {"host_digest": sha("other host")},
    "model": {"model": model_identity("other model")},
}


@pytest.mark.parametrize("part", OTHER)
def test_a_job_of_another_fingerprint_is_left_alone(part: str, tmp_path: Path) -> None:
    run = interrupted(tmp_path / "20260102T030405Z_stored", **OTHER[part])
    assert store.resumable_job_folder(tmp_path, wanted_for(run)) is not None
    mine = interrupted(tmp_path / "elsewhere" / "20260102T030405Z_stored")
    wanted = wanted_for(mine)
    assert [name for name in OTHER if getattr(wanted["portable"], name) != getattr(store.fingerprint(run), name)] == [
        part
    ]
    assert store.resumable_job_folder(tmp_path, wanted) is None


def test_the_source_of_a_model_may_be_written_otherwise(tmp_path: Path) -> None:
    run = interrupted(tmp_path / "20260102T030405Z_stored")
    moved = ModelIdentity(source="./elsewhere", digest=run.model.digest, code={}, weights_bytes=1000)
    assert store.fingerprint(run.model_copy(update={"model": moved})) == store.fingerprint(run)


def test_files_that_no_loader_reads_leave_the_fingerprint_as_it_is(tmp_path: Path) -> None:
    run = interrupted(tmp_path / "20260102T030405Z_stored")
    of = {"source": "x", "code": {}, "weights_bytes": 1000}
    one, edited, other = (
        store.fingerprint(
            run.model_copy(update={"model": ModelIdentity(digest=sha(all_files), loaded=sha(loaded), **of)})
        )
        for all_files, loaded in (("one", "same"), ("two", "same"), ("two", "other"))
    )
    assert one == edited
    assert edited != other


def test_a_job_that_another_process_works_on_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "20260102T030405Z_stored"
    wanted = wanted_for(interrupted(folder))
    with held_by_another_process(folder):
        assert store.resumable_job_folder(tmp_path, wanted) is None
    assert store.resumable_job_folder(tmp_path, wanted) == folder


@pytest.mark.parametrize("state", ["unfinished", "finished"])
def test_a_finished_job_is_left_alone_whatever_its_arms_say(state: State, tmp_path: Path) -> None:
    run = interrupted(tmp_path / "20260102T030405Z_stored", job="finished", state=state)
    assert store.resumable_job_folder(tmp_path, wanted_for(run)) is None


def test_a_job_that_was_interrupted_after_its_last_arm_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "20260102T030405Z_stored"
    run = interrupted(folder, state="finished")
    assert store.resumable_job_folder(tmp_path, wanted_for(run)) == folder


def test_a_job_with_one_finished_arm_of_two_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "20260102T030405Z_stored"
    first = interrupted(folder, state="finished")
    second = wanted_for(first) | {"as-shipped": store.fingerprint(first)}
    assert store.resumable_job_folder(tmp_path, second) == folder
    other = interrupted(folder, arm="as-shipped")
    assert store.resumable_job_folder(tmp_path, wanted_for(first) | wanted_for(other, "as-shipped")) == folder


def test_a_job_with_an_arm_that_is_not_wanted_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "20260102T030405Z_stored"
    run = interrupted(folder)
    interrupted(folder, arm="as-shipped")
    assert store.resumable_job_folder(tmp_path, wanted_for(run)) is None


def test_a_job_without_its_question_or_with_a_damaged_run_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "20260102T030405Z_stored"
    wanted = wanted_for(interrupted(folder))
    path = folder / "portable" / RUN_FILE
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-20], encoding="utf-8")
    assert store.resumable_job_folder(tmp_path, wanted) is None
    path.write_text(whole, encoding="utf-8")
    (folder / store.JOB_FILE).unlink()
    assert store.resumable_job_folder(tmp_path, wanted) is None


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_read(tmp_path: Path) -> None:
    stored = one_case(tmp_path / "arm", "AA")
    assert store.load_run(tmp_path / "arm") == stored.run


def test_an_unfinished_run_is_never_taken_for_a_finished_one(tmp_path: Path) -> None:
    interrupted(tmp_path / "job")
    with pytest.raises(RecordError, match=r"holds an unfinished run \(2 samples were stored\); give the same command"):
        store.load_run(tmp_path / "job" / "portable")


def test_a_job_folder_is_no_run_folder_and_its_arms_are_named(tmp_path: Path) -> None:
    job_folder(tmp_path / "job", ("one", "AA"), ("other", "AA"))
    with pytest.raises(RecordError, match="it holds the arms one, other: name one of them"):
        store.load_run(tmp_path / "job")
    with pytest.raises(RecordError, match=r"has no run\.json\.$"):
        store.load_run(tmp_path)


def test_what_cannot_be_read_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name in ("binary.json", "nowhere.json", "."):
        with pytest.raises(RecordError, match="cannot be read"):
            store.load(Run, tmp_path / name)


def test_a_job_folder_stands_for_its_only_comparison(tmp_path: Path) -> None:
    job = job_folder(tmp_path / "job", ("one", "AA"), ("other", "AB"))
    with pytest.raises(RecordError, match="holds 0 comparisons; name one of them"):
        store.load_comparison(job)
    path, comparison = compare.compare(job / "one", job / "one", None)
    assert store.load_comparison(job) == store.load_comparison(path) == comparison
    compare.compare(job / "other", job / "other", None)
    with pytest.raises(RecordError, match="holds 2 comparisons; name one of them"):
        store.load_comparison(job)


def test_listings_are_sorted_and_an_empty_one_is_an_error(tmp_path: Path) -> None:
    job_folder(tmp_path / "runs" / "2_stored", ("b", "A"), ("a", "A"))
    job_folder(tmp_path / "runs" / "1_stored", ("c", "A"))
    found = [str(path.relative_to(tmp_path / "runs")) for path in store.run_folders(tmp_path / "runs")]
    assert found == ["1_stored/c", "2_stored/a", "2_stored/b"]
    with pytest.raises(NothingSelected, match="holds no scenario"):
        store.scenario_files(tmp_path / "runs")


# --- moving ----------------------------------------------------------------------------------------------------------


def test_a_job_folder_can_be_moved_and_is_compared_and_reported_there(tmp_path: Path) -> None:
    job = job_folder(tmp_path / "here" / "job", ("one", "AAB"), ("other", "AA"))
    path, comparison = compare.compare(job / "one", job / "other", None)
    assert (comparison.actual.path, comparison.expected.path) == ("one", "other")
    moved = tmp_path / "there" / "deeper" / "renamed"
    moved.parent.mkdir(parents=True)
    shutil.move(job, moved)
    _, again = compare.compare(moved / "one", moved / "other", None)
    assert again == comparison
    (page, text) = report.report([moved / path.name], ["html", "md"], moved / "out")
    assert "data:image/" in page.read_text(encoding="utf-8")
    assert "stored" in text.read_text(encoding="utf-8")


def test_no_stored_file_knows_where_it_lies(tmp_path: Path) -> None:
    job = job_folder(tmp_path / "job", ("one", "AAB"))
    _, comparison = compare.compare(job / "one", job / "one", None)
    assert comparison.outcome is Status.UNSTABLE
    files = [path for path in job.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if str(tmp_path).encode() in path.read_bytes()] == []


def test_a_saved_record_is_the_record_that_is_loaded(tmp_path: Path) -> None:
    job = job_folder(tmp_path / "job", ("one", "AAB"))
    _, comparison = compare.compare(job / "one", job / "one", None)
    path = store.save(comparison, tmp_path / "new" / "folder" / "comparison.json")
    assert store.load(Comparison, path) == comparison
