"""Baselines as a user meets them: accepted on purpose, listed, verified, carried, and never half there."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import environment, patience_seconds
from tests.compare.stored_runs import job_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import Ended, RunHarness

REASON = ["--reason", "The pictures were looked at one by one."]
ACCEPT = ["baseline", "accept", "runs/job/cpu", *REASON, "--who", "Tester"]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job folder with a deterministic arm and an unstable one."""
    return job_folder(tmp_path / "runs" / "job", ("cpu", "AA AA"), ("shaky", "AB"))


def digest_in(ended: Ended) -> str:
    assert ended.code == 0, ended.err
    return ended.out.split()[-1]


def test_a_baseline_is_accepted_listed_verified_and_carried(job: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    assert job.is_dir()
    digest = digest_in(run_harness(*ACCEPT))
    assert len(digest) == 64
    (row,) = json.loads(run_harness("baseline", "list", "--json").out)
    assert row["name"] == "stored/cpu"
    assert "by Tester: The pictures were looked at one by one." in row["about"]
    assert run_harness("list", "baselines").out == run_harness("baseline", "list").out
    assert run_harness("baseline", "verify").out == f"stored/cpu: whole, manifest digest {digest}\n"
    assert digest_in(run_harness("baseline", "verify", "stored/cpu")) == digest
    assert digest_in(run_harness("baseline", "pack", "stored/cpu", "--out", "cpu.zip")) == digest
    assert digest_in(run_harness("baseline", "unpack", "cpu.zip", "--baselines-dir", "elsewhere")) == digest
    assert digest_in(run_harness("baseline", "push", "shared")) == digest
    assert digest_in(run_harness("baseline", "pull", "shared", "stored/cpu", "--baselines-dir", "third")) == digest
    assert digest_in(run_harness("baseline", "verify", "--baselines-dir", "third")) == digest
    assert (tmp_path / "third" / "stored" / "cpu" / "manifest.json").is_file()


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "an unstable run": (["baseline", "accept", "runs/job/shaky", *REASON], 3, "is not deterministic"),
    "a short reason": (["baseline", "accept", "runs/job/cpu", "--reason", "ok"], 2, "fewer than 10 characters"),
    "no reason": (["baseline", "accept", "runs/job/cpu"], 2, "--reason"),
    "a job folder": (["baseline", "accept", "runs/job", *REASON], 2, "it holds the arms cpu, shaky: name one"),
    "nothing to verify": (["baseline", "verify"], 4, "harness baseline accept makes one"),
    "none of that name": (["baseline", "verify", "stored/gpu"], 4, "there is no baseline stored/gpu"),
    "a name that is none": (["baseline", "verify", "../stored"], 2, "SCENARIO/ARM"),
    "nothing to list": (["baseline", "list"], 5, "there are no baselines"),
    "nothing to pack": (["baseline", "pack", "stored/gpu", "--out", "x.zip"], 4, "there is no baseline stored/gpu"),
    "no such pack": (["baseline", "unpack", "x.zip"], 2, "there is no such file"),
    "no driver": (["baseline", "pull", "s3://bucket/baselines"], 3, "s3fs"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    fault: str, job: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    words, code, says = REFUSED[fault]
    before = set(tmp_path.rglob("*"))
    ended = run_harness(*words)
    assert ended.code == code, ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert set(tmp_path.rglob("*")) == before
    assert job.is_dir()


def test_an_unstable_run_is_accepted_with_all_its_outcomes(job: Path, run_harness: RunHarness) -> None:
    assert job.is_dir()
    digest_in(run_harness("baseline", "accept", "runs/job/shaky", *REASON, "--modes"))
    assert "up to 2 outcomes each" in run_harness("baseline", "list").out


def test_damage_is_named_with_exit_code_3(job: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    assert job.is_dir()
    digest_in(run_harness(*ACCEPT))
    kept = tmp_path / "baselines" / "stored" / "cpu"
    (kept / "samples/cup/42/p0r0.png").write_bytes(b"no picture")
    (kept / "samples/cup/42/p0r0.safetensors").unlink()
    (kept / "surplus.txt").touch()
    ended = run_harness("baseline", "verify")
    assert ended.code == 3
    for words in ("p0r0.png is damaged", "p0r0.safetensors is missing", "surplus.txt is surplus"):
        assert words in ended.out
    packed = run_harness("baseline", "pack", "stored/cpu", "--out", "cpu.zip")
    assert packed.code == 3
    assert "is not what was accepted" in packed.err
    assert "is not what was accepted" in run_harness("baseline", "list").out
    assert digest_in(run_harness(*ACCEPT)), "accepting again mends it"
    assert run_harness("baseline", "verify").code == 0


def test_what_a_kill_left_is_named_and_cleaned_by_the_next_accept(
    job: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    assert job.is_dir()
    digest_in(run_harness(*ACCEPT))
    kept = tmp_path / "baselines" / "stored"
    (kept / ".cpu.part").mkdir()
    ended = run_harness("baseline", "verify")
    assert ended.code == 3
    assert "stored/.cpu.part: an accept or unpack was cut off" in ended.out
    (kept / "cpu").rename(kept / ".cpu.old")
    assert "stored/cpu: whole" in run_harness("baseline", "verify").out
    digest_in(run_harness(*ACCEPT))
    assert run_harness("baseline", "verify").code == 0
    assert sorted(path.name for path in kept.iterdir()) == [".lock", "cpu"]


def test_a_full_disk_leaves_the_old_baseline(job: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    digest = digest_in(run_harness(*ACCEPT))
    picture = job / "cpu" / "samples/cup/42/p0r0.png"
    ended = subprocess.run(
        [sys.executable, "-m", "harness", *ACCEPT],
        cwd=tmp_path,
        env=environment(),
        # Files may not grow beyond the picture, as on a disk that fills up while the larger ones are written.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (picture.stat().st_size,) * 2),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    assert "the system refused" in ended.stderr
    assert digest_in(run_harness("baseline", "verify")) == digest
    assert sorted(path.name for path in (tmp_path / "baselines" / "stored").iterdir()) == [".lock", "cpu"]


def test_a_place_that_cannot_be_written_is_said(job: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    assert job.is_dir()
    # Not rights: root may write everywhere. Below a device nobody can make a folder.
    ended = run_harness(*ACCEPT, "--baselines-dir", os.devnull)
    assert ended.code == 3
    assert "the system refused" in ended.err
    digest_in(run_harness(*ACCEPT))
    assert run_harness("baseline", "pack", "stored/cpu", "--out", f"{os.devnull}/cpu.zip").code == 3
    shutil.copytree(tmp_path / "baselines", tmp_path / "moved")
    assert run_harness("baseline", "verify", "--baselines-dir", "moved").code == 0
