"""Commands for every day: look at a page, list verdicts, delete old jobs, try quickly, repeat what failed, update."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import store
from harness.images import write_picture
from harness.records import Run
from tests.command_line import job_folder
from tests.compare.stored_runs import scenario

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

NAMES = ("cup", "cat")
SEEDS = (42, 7)
MADE = {"adapter": "images", "source": "made", "pictures": "{case}/{seed}-p{process}r{repeat}.png"}


def asked(write: WriteScenario, **changes: Any) -> Path:
    """A scenario of pictures that were made before; each process and repeat has its own file."""
    cases = [{"id": name, "prompt": f"a {name}"} for name in NAMES]
    path = write(**{"model": MADE, "cases": cases, "seeds": list(SEEDS), **changes})
    for number, name in enumerate(f"{case}/{seed}" for case in NAMES for seed in SEEDS):
        for place in ("p0r0", "p0r1", "p1r0"):
            put_picture(path.parent / "made" / f"{name}-{place}.png", number)
    return path


def put_picture(path: Path, number: int, light: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(number).integers(0, 256, (64, 64, 3)) * light
    write_picture(path, levels.astype(np.uint8))


def jobs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("*_*"))


def keys(run: Path) -> set[tuple[str, int]]:
    return {(sample.key.case, sample.key.seed) for sample in store.load(Run, run / "run.json").samples}


# --- open ------------------------------------------------------------------------------------------------------------


def test_the_newest_page_is_opened_and_others_by_job_or_scenario(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    for name in ("first", "second"):
        assert run_harness("check", asked(write_scenario, name=name), "--device", "cpu").code == 0
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    ended = run_harness("open", BROWSER=f"{browser} %s")
    assert ended.code == 0, ended.err
    page = jobs(tmp_path)[-1] / "report" / "index.html"
    assert ended.out.strip() == str(page.absolute())
    assert (tmp_path / "opened").read_text(encoding="utf-8") == page.absolute().as_uri()
    for word in ("first", jobs(tmp_path)[0].name, str(jobs(tmp_path)[0])):
        shown = run_harness("open", word, "--print")
        assert shown.out.strip() == str((jobs(tmp_path)[0] / "report" / "index.html").absolute()), word
    unknown = run_harness("open", "secnd", "--print")
    assert (unknown.code, "Did you mean 'second'" in unknown.err) == (2, True)
    assert run_harness("open", "--runs-dir", "nowhere").code == 5


# --- list and prune --------------------------------------------------------------------------------------------------


def test_runs_are_listed_with_their_verdicts(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    arms = [
        {"name": "candidate", "device": "cpu"},
        {"name": "reference", "device": "cpu", "role": "reference"},
    ]
    limits = [{"metric": "psnr_db", "scope": "reference", "at_least": 99, "reason": "Only for this test."}]
    run_harness("check", asked(write_scenario, arms=arms, limits=limits), "--device", "cpu")
    for words in (["list", "runs"], ["runs", "list"]):
        listed = run_harness(*words)
        (row,) = [line for line in listed.out.splitlines() if "candidate" in line.split()[0]]
        assert "repeats identical" in row
        assert "against reference" in row
    path = next((tmp_path / "runs").glob("*/comparison-*.json"))
    path.write_text("{", encoding="utf-8")
    damaged = run_harness("list", "runs")
    assert damaged.code == 0, damaged.err
    assert f"{path.name} cannot be read" in damaged.out


def test_old_jobs_are_listed_first_and_deleted_only_when_asked(tmp_path: Path, run_harness: RunHarness) -> None:
    question = scenario(name="small")
    for number, state in enumerate(("unfinished", "finished", "finished")):
        job = store.Job(state=state, scenario=question, command=["harness", "check", "small.yaml"])
        folder = tmp_path / "runs" / f"2026010{number + 1}T000000Z_small"
        folder.mkdir(parents=True)
        store.save(job, folder / store.JOB_FILE)
    unfinished = jobs(tmp_path)[0]
    (tmp_path / "runs" / "not_a_job").mkdir()
    told = run_harness("runs", "prune", "--keep", "1")
    assert told.code == 0, told.err
    assert len(jobs(tmp_path)) == 4
    assert "would be deleted with --yes: jobs: 1," in told.out
    done = run_harness("runs", "prune", "--keep", "1", "--yes")
    assert done.code == 0, done.err
    left = jobs(tmp_path)
    assert len(left) == 3
    assert unfinished in left, "an unfinished job stays"
    assert tmp_path / "runs" / "not_a_job" in left
    assert run_harness("runs", "prune", "--keep", "1").out.startswith("would be deleted with --yes: jobs: 0,")
    assert run_harness("runs", "prune", "--runs-dir", "nowhere").code == 5
    assert run_harness("runs", "prune", "--keep", "0").code == 2


# --- quick, last failed ----------------------------------------------------------------------------------------------


def test_quick_is_one_case_with_one_seed_twice_and_the_report_says_what_was_left_out(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = asked(write_scenario, repeats={"in_process": 3, "processes": 2})
    ended = run_harness("check", path, "--device", "cpu", "--quick")
    assert ended.code == 0, ended.err
    job = job_folder(tmp_path / "runs")
    run = store.load(Run, job / "candidate" / "run.json")
    assert keys(job / "candidate") == {("cup", 42)}
    assert len(run.samples) == 2
    text = (job / "report" / "report.md").read_text(encoding="utf-8")
    assert "Cases of the scenario that were not selected: cat" in text
    assert "Seeds of the scenario that were not selected: 7" in text
    assert "--case cup --seed 42 --device cpu --repeats 2 --processes 1" in text
    chosen = run_harness("check", path, "--device", "cpu", "--quick", "--case", "cat", "--seed", "7")
    assert chosen.code == 0, chosen.err
    assert keys(jobs(tmp_path)[-1] / "candidate") == {("cat", 7)}


@pytest.mark.parametrize(
    ("repeats", "made"),
    [({"in_process": 1, "processes": 3}, (2, 2)), ({"in_process": 1, "processes": 1}, (1, 1))],
    ids=["fresh processes alone", "no repeats"],
)
def test_quick_repeats_no_more_than_the_scenario_does(
    repeats: dict[str, int],
    made: tuple[int, int],
    tmp_path: Path,
    run_harness: RunHarness,
    write_scenario: WriteScenario,
) -> None:
    run_harness("check", asked(write_scenario, repeats=repeats), "--device", "cpu", "--quick")
    samples = store.load(Run, job_folder(tmp_path / "runs") / "candidate" / "run.json").samples
    assert (len(samples), len({sample.process for sample in samples})) == made


def test_only_what_failed_is_run_again(tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario) -> None:
    path = asked(write_scenario, seeds=[42])
    lost = tmp_path / "made" / "cat"
    lost.rename(tmp_path / "aside")
    first = run_harness("check", path, "--device", "cpu")
    assert first.code == 3, first.err
    assert keys(jobs(tmp_path)[-1] / "candidate") == {("cup", 42)}
    (tmp_path / "aside").rename(lost)
    again = run_harness("check", path, "--device", "cpu", "--last-failed")
    assert again.code == 0, again.err
    assert keys(jobs(tmp_path)[-1] / "candidate") == {("cat", 42)}


def test_where_nothing_failed_or_nothing_was_run_it_says_so(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = asked(write_scenario)
    none = run_harness("check", path, "--device", "cpu", "--last-failed")
    assert (none.code, "no job of small" in none.err) == (5, True)
    assert run_harness("check", path, "--device", "cpu").code == 0
    passed = run_harness("check", path, "--device", "cpu", "--last-failed")
    assert (passed.code, "nothing failed in" in passed.err) == (5, True)
    assert len(jobs(tmp_path)) == 1


# --- baselines -------------------------------------------------------------------------------------------------------


def test_a_baseline_is_updated_with_what_changes_and_who_says_so(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = asked(write_scenario, seeds=[42])
    words = ["--device", "cpu", "--runs-dir"]
    assert run_harness("run", path, *words, tmp_path / "old").code == 0
    old = job_folder(tmp_path / "old") / "candidate"
    early = run_harness("baseline", "update", old, "--reason", "There is none to be updated yet.")
    assert (early.code, "harness baseline accept" in early.err) == (4, True)
    assert run_harness("baseline", "accept", old, "--reason", "The first pictures.", "--who", "ada").code == 0
    for picture in (tmp_path / "made" / "cup").iterdir():
        put_picture(picture, number=0, light=0.5)
    assert run_harness("run", path, *words, tmp_path / "new").code == 0
    new = job_folder(tmp_path / "new") / "candidate"
    ended = run_harness("baseline", "update", new, "--reason", "Darker on purpose now.", "--who", "grace")
    assert ended.code == 0, ended.err
    assert "old: accepted" in ended.out
    assert "by ada: The first pictures." in ended.out
    assert "by grace: Darker on purpose now." in ended.out
    assert "cup, seed 42" in ended.out
    listed = run_harness("baseline", "list")
    assert "Darker on purpose now." in listed.out
    assert run_harness("baseline", "update", new, "--reason", "short").code == 2


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["check"], ["baseline"], ["baseline", "update"], ["runs", "prune"]])
def test_h_is_help(words: list[str], run_harness: RunHarness) -> None:
    short, long = run_harness(*words, "-h"), run_harness(*words, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "Usage: harness" in short.out


def test_shells_can_complete_commands(run_harness: RunHarness) -> None:
    ended = run_harness(
        _HARNESS_COMPLETE="complete_bash", COMP_WORDS="harness base", COMP_CWORD="1", SHELL=os.environ.get("SHELL", "")
    )
    assert "baseline" in ended.out.split()
    assert "check" not in ended.out.split()
