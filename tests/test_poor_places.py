"""Places and sessions that are poor: read-only, little memory, few open files, a clock that goes backwards, company.

Each command ends by the table of exit codes, says what is wrong, and works once the place is as it should be.
"""

from __future__ import annotations

import datetime as dt
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from harness import __main__, store
from harness.records import RUN_FILE, Run
from harness.store import folders
from harness.store.folders import JOB_FILE, Job, load, load_run
from tests.command_line import Ended, environment, run_command
from tests.kills import NAME, PLACES
from tests.test_no_room import may_mount, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.command_line import RunHarness
    from tests.kills import Workplace

pytestmark = pytest.mark.slow

MIB = 2**20


def limited(workplace: Workplace, kind: int, most: int, *words: str | Path) -> Ended:
    """Give a command in a session with a limit; OpenBLAS has one thread, since each takes room before it is used."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, words)],
        cwd=workplace.folder,
        env=environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
        preexec_fn=partial(resource.setrlimit, kind, (most, most)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def freely(workplace: Workplace, *words: str | Path) -> Ended:
    """Give a command without a limit."""
    return run_command(workplace.folder, *words)


def is_no_verdict(ended: Ended) -> bool:
    """Whether a command that could not do its work says so: 3 and a reason.

    Where memory ends inside a library that is written in Rust, as the one that reads records is, the library says so
    and aborts the process; nothing in Python sees it, and no code of ours can be taken for that signal.
    """
    aborted = ended.code == -signal.SIGABRT and "memory allocation of" in ended.err
    return aborted or (ended.code == 3 and bool(ended.err.strip() or ended.out.strip()))


# --- read-only -------------------------------------------------------------------------------------------------------


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that nobody may write into; where this user may mount, not even root."""
    if may_mount():
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        try:
            yield
        finally:
            unmount(folder)
        return
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere, and this root may not mount")
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_read_only_runs_folder_is_an_error_that_names_it_and_can_still_be_read(workplace: Workplace) -> None:
    runs, run = workplace.folder / "runs", workplace.run_folder
    give = partial(freely, workplace)
    comparison = run.parent / "comparison-repeat-candidate.json"
    report = ("report", comparison, "--out", run.parent / "report")
    with read_only(runs):
        for words in (("check", "small.yaml"), ("run", "small.yaml"), ("compare", run, run), report):
            ended = give(*words)
            assert ended.code == 3, (words, ended.out)
            assert "error: the system refused: [Errno" in ended.err
            assert "runs" in ended.err
            assert "internal error" not in ended.err
        assert give("list", "runs").code == 0
        assert give("gate", comparison).code == 0
        elsewhere = workplace.folder / "elsewhere.json"
        assert give("compare", run, run, "--out", elsewhere).code == 0
        assert elsewhere.is_file()
        assert give("report", comparison, "--out", workplace.folder / "report").code == 0
    assert workplace.problems() == []
    assert give("check", "small.yaml").code == 0


def test_a_read_only_store_is_an_error_and_can_still_be_verified_and_packed(workplace: Workplace) -> None:
    give = partial(freely, workplace)
    accept = ("baseline", "accept", workplace.run_folder, "--reason", "It cannot be kept here.")
    with read_only(workplace.folder / "baselines"):
        for words in (accept, ("baseline", "unpack", workplace.pack, "--replace")):
            ended = give(*words)
            assert ended.code == 3
            assert "the system refused" in ended.err
        assert give("baseline", "verify").code == 0
        assert give("baseline", "pack", NAME, "--out", workplace.folder / "again.zip").code == 0
    assert workplace.problems() == []


# --- memory and open files -------------------------------------------------------------------------------------------


def test_few_open_files_end_in_an_error_or_in_the_same_verdict(workplace: Workplace) -> None:
    for most in (5, 8, 14, 40):
        ended = limited(workplace, resource.RLIMIT_NOFILE, most, "check", "small.yaml", "--runs-dir", f"few-{most}")
        assert ended.code == 0 or is_no_verdict(ended), (most, ended.out, ended.err)
        assert "Traceback" not in ended.err, most
        kept = limited(workplace, resource.RLIMIT_NOFILE, most, "compare", workplace.run_folder, workplace.run_folder)
        assert kept.code == 0 or is_no_verdict(kept), (most, kept.out, kept.err)
        assert workplace.problems() == [], most
        assert freely(workplace, "check", "small.yaml", "--runs-dir", f"few-{most}").code == 0, most


def test_little_memory_ends_in_an_error_or_in_the_same_verdict(workplace: Workplace) -> None:
    for most in (150, 200, 300):
        words = ("check", "small.yaml", "--runs-dir", f"little-{most}")
        ended = limited(workplace, resource.RLIMIT_AS, most * MIB, *words)
        assert ended.code == 0 or is_no_verdict(ended), (most, ended.code, ended.out, ended.err)
        compare = ("compare", workplace.run_folder, workplace.run_folder)
        kept = limited(workplace, resource.RLIMIT_AS, most * MIB, *compare)
        assert kept.code == 0 or is_no_verdict(kept), (most, kept.code, kept.out, kept.err)
        assert workplace.problems() == [], most
        assert freely(workplace, *words).code == 0, most


def test_a_harness_that_cannot_be_loaded_is_no_broken_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run_harness: RunHarness, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "harness.cli", None)
    assert __main__.main() == 3
    assert "error: the harness could not be loaded" in capsys.readouterr().err
    (tmp_path / "typer.py").write_text("raise MemoryError\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    ended = run_harness("list", "metrics", PYTHONPATH=path)
    assert ended.code == 3
    assert "could not be loaded or could not say what went wrong: MemoryError" in ended.err


# --- the clock -------------------------------------------------------------------------------------------------------


class Backwards(dt.datetime):
    """A clock that goes back by an hour each time it is looked at."""

    looked = 0

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Backwards:
        cls.looked += 1
        moment = cls(2026, 6, 15, 12, tzinfo=tz) - dt.timedelta(hours=cls.looked)
        return cls.fromtimestamp(moment.timestamp(), tz)


def test_a_clock_that_goes_backwards_takes_no_folder_of_another_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "datetime", Backwards)
    made = [store.new_job_folder(tmp_path, "small") for _ in range(3)]
    assert made == sorted(made, reverse=True), "each is older by its name than the one before"
    monkeypatch.setattr(Backwards, "looked", 0)
    again = [store.new_job_folder(tmp_path, "small") for _ in range(3)]
    assert not set(made) & set(again)
    assert len(list(tmp_path.iterdir())) == 6


CLOCK = """
import datetime, time
_real = time.time
_start = _real()
time.time = lambda: _start - 10 * (_real() - _start)
class _Back(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = _Back
"""


def test_a_run_whose_clock_goes_backwards_has_the_same_verdict_and_resumes(workplace: Workplace) -> None:
    site = workplace.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(CLOCK, encoding="utf-8")
    path = os.pathsep.join([str(site), environment()["PYTHONPATH"]])
    words = [sys.executable, "-m", "harness", "check", "small.yaml", "--runs-dir", "back"]
    for jobs in (1, 2):
        done = subprocess.run(
            words,
            cwd=workplace.folder,
            env=environment(PYTHONPATH=path),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        made = sorted((workplace.folder / "back").iterdir())
        assert len(made) == jobs
    for job in made:
        run = load_run(job / "candidate")
        assert run.seconds >= 0
        assert all(seconds >= 0 for sample in run.samples for seconds in sample.seconds.values())
        assert sorted(sample.label for sample in run.samples) == sorted(PLACES * len(run.plan.keys))
    assert workplace.problems() == []


# --- company ---------------------------------------------------------------------------------------------------------


def test_two_that_go_on_with_one_interrupted_job_mix_nothing(workplace: Workplace) -> None:
    run = workplace.run_folder
    whole = load(Run, run / RUN_FILE)
    first = [sample for sample in whole.samples if sample.process == 0]
    store.save(whole.model_copy(update={"state": "unfinished", "samples": first}), run / RUN_FILE)
    for sample in run.glob("samples/*/*/p1r*.json"):
        sample.unlink()
    job = load(Job, run.parent / JOB_FILE)
    store.save(job.model_copy(update={"state": "unfinished"}), run.parent / JOB_FILE)
    words = [sys.executable, "-m", "harness", "run", "small.yaml"]
    both = [
        subprocess.Popen(
            words,
            cwd=workplace.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) in ([0, 0], [0, 3]), said
    assert all("is in use by another process" in words for words, code in zip(said, codes, strict=True) if code), said
    jobs = sorted(path for path in (workplace.folder / "runs").iterdir() if path.is_dir())
    assert len(jobs) in {1, 2}, "both may go on with it one after the other, or the second makes its own"
    for folder in jobs:
        done = load_run(folder / "candidate")
        assert sorted(sample.label for sample in done.samples) == sorted(PLACES * len(done.plan.keys))
        assert done.id == f"{folder.name}/candidate"
    assert [each for each in workplace.problems() if "/p1r" not in each] == [], "what was there already is as it was"


def test_two_that_accept_at_once_leave_a_whole_baseline(workplace: Workplace) -> None:
    words = [sys.executable, "-m", "harness", *map(str, workplace.words("accept"))]
    both = [
        subprocess.Popen(words, cwd=workplace.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=-3)
        for _ in range(2)
    ]
    codes = [each.wait(timeout=300) for each in both]
    assert 0 in codes
    assert set(codes) <= {0, 3}
    assert workplace.problems() == []
