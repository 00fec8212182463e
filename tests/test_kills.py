"""``kill -9`` at any moment loses nothing that was finished, and the same command finishes the work.

``nox -s kills`` does this a hundred times. KILLS says how often, KILL_SEED repeats the moments of an earlier time.
"""

from __future__ import annotations

import os
import shutil
import sys
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest

from harness.records import Run
from harness.store.folders import JOB_FILE, Job, load, save
from tests.kills import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kills import Workplace

pytestmark = pytest.mark.slow

MOST_ATTEMPTS = 20
"""A command may end before its moment comes or just after it; so often another moment is drawn for each kill."""


def test_kills_at_random_moments_lose_nothing(workplace: Workplace) -> None:
    count = int(os.environ.get("KILLS") or len(VERBS))
    seed = int(os.environ.get("KILL_SEED") or SystemRandom().randrange(2**32))
    sys.stdout.write(f"{count} kills, KILL_SEED={seed}\n")
    random = Random(seed)  # noqa: S311 - moments, not secrets
    for number in range(count):
        verb = VERBS[number % len(VERBS)]
        where = f"kill {number + 1} of {count}, during {verb}, KILL_SEED={seed}"
        for _ in range(MOST_ATTEMPTS):
            killed = workplace.kill(verb, random)
            assert workplace.problems() == [], where
            if killed:
                break
        else:
            pytest.fail(f"{where}: the command always ended before it was killed")
        workplace.finish(verb)
        assert workplace.problems() == [], f"{where}, after the same command had finished the work"
        sys.stdout.write(f"{where}: nothing was lost\n")


def test_what_a_killed_writer_left_goes_when_the_command_is_given_again(workplace: Workplace) -> None:
    job = workplace.run_folder.parent
    left = [workplace.run_folder / "samples" / "cup", workplace.run_folder, job, workplace.report_folder]
    left[0].mkdir()
    for folder in left:
        (folder / ".0123456789abcdef.part").write_bytes(b"half a fi")
    save(load(Job, job / JOB_FILE).model_copy(update={"state": "unfinished"}), job / JOB_FILE)
    assert len(leftovers(workplace)) == len(left)
    workplace.give(*workplace.words("report"))
    assert leftovers(workplace) == sorted(left[:3])
    workplace.give("compare", workplace.run_folder, workplace.run_folder)
    assert leftovers(workplace) == sorted(left[:2])
    workplace.give("run", "small.yaml")
    assert leftovers(workplace) == []


def leftovers(workplace: Workplace) -> list[Path]:
    """Folders below the runs that hold what a killed writer left."""
    return sorted(path.parent for path in (workplace.folder / "runs").rglob(".*.part"))


# --- these checks are seen to fail ------------------------------------------------------------------------------------


def lose_a_sample(workplace: Workplace) -> None:
    next(workplace.run_folder.glob("samples/*/*/p0r0.json")).unlink()


def cut_a_picture(workplace: Workplace) -> None:
    path = next(workplace.run_folder.glob("samples/*/*/*.png"))
    path.write_bytes(path.read_bytes()[:-20])


def change_a_sample(workplace: Workplace) -> None:
    path = next(workplace.run_folder.glob("samples/*/*/p0r0.json"))
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")


def finish_too_early(workplace: Workplace) -> None:
    run = load(Run, workplace.run_folder / "run.json")
    save(run.model_copy(update={"samples": run.samples[1:]}), workplace.run_folder / "run.json")


def finish_the_job_too_early(workplace: Workplace) -> None:
    run = load(Run, workplace.run_folder / "run.json")
    save(run.model_copy(update={"state": "unfinished"}), workplace.run_folder / "run.json")


def cut_a_run(workplace: Workplace) -> None:
    path = workplace.run_folder / "run.json"
    path.write_bytes(path.read_bytes()[:1000])


def lose_the_baseline(workplace: Workplace) -> None:
    shutil.rmtree(workplace.folder / "baselines")


def change_the_baseline(workplace: Workplace) -> None:
    path = next((workplace.folder / "baselines").glob("*/*/samples/*/*/*.png"))
    path.write_bytes(path.read_bytes() + b"\0")


def cut_the_pack(workplace: Workplace) -> None:
    workplace.pack.write_bytes(workplace.pack.read_bytes()[:-100])


def cut_the_report(workplace: Workplace) -> None:
    path = workplace.report_folder / "junit.xml"
    path.write_bytes(path.read_bytes()[:-5])


FAULTS: dict[Callable[[Workplace], None], str] = {
    lose_a_sample: "was finished and is lost",
    cut_a_picture: "was finished and has changed",
    change_a_sample: "was finished and has changed",
    finish_too_early: "is taken for finished with 23 of 24 samples",
    finish_the_job_too_early: "is taken for finished with an unfinished run",
    cut_a_run: "a run cannot be read",
    lose_the_baseline: "the baseline small/candidate is lost",
    change_the_baseline: "is damaged",
    cut_the_pack: "the pack is damaged",
    cut_the_report: "a report cannot be read",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_kill_could_spoil_is_seen(fault: Callable[[Workplace], None], workplace: Workplace) -> None:
    assert workplace.problems() == []
    fault(workplace)
    assert any(FAULTS[fault] in problem for problem in workplace.problems())
