"""The report of a release from stored jobs: what is asked for and not there is MISSING, and the same gives the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import store
from harness.errors import UnknownName, UsageError
from harness.jobs.release import Released, ReleaseRequest, release, verify_release
from harness.records import MANIFEST_FILE, RUN_FILE, Failure, Release, ReleaseManifest, Run, Status, from_json
from tests.command_line import environment, patience_seconds
from tests.release_jobs import Stored, release_folder, stored
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command_line import RunHarness


def made(place: Path, *scenarios: Path, jobs: list[Path] | None = None) -> Released:
    request = ReleaseRequest(
        name="r1",
        scenarios=list(scenarios),
        jobs=jobs or [],
        languages=["en", "zh"],
        runs_folder=place / "runs",
        scenarios_folder=place / "scenarios",
    )
    return release(request, place / "reports")


def reasons(found: Released) -> list[tuple[str, str | None, str]]:
    return [(each.scenario, each.arm, each.reason) for each in found.release.missing]


def test_a_release_holds_every_scenario_and_says_its_worst_word(tmp_path: Path) -> None:
    found = made(release_folder(tmp_path))
    assert [each.report.scenario.name for each in found.release.jobs] == ["drifts", "passes", "repeats"]
    assert (found.release.missing, found.release.outcome) == ([], Status.DRIFT)
    names = [path.name for path in found.files]
    assert names == [
        *("index.html", "report.md", "index.zh.html", "report.zh.md"),
        *("report.json", "junit.xml", "metrics.csv", MANIFEST_FILE),
    ]
    text = (found.folder / "report.json").read_text(encoding="utf-8")
    assert from_json(Release, text, place="report.json") == found.release


def edited(job: Stored) -> None:
    text = job.scenario.read_text(encoding="utf-8")
    job.scenario.write_text(text.replace('"steps": 20', '"steps": 21'), encoding="utf-8")


def unfinished(job: Stored) -> None:
    file = job.job / store.JOB_FILE
    store.save(store.load(store.Job, file).model_copy(update={"state": "unfinished"}), file)


def without_job(job: Stored) -> None:
    job.job.rename(job.job.parent.parent / "elsewhere")


def failed(job: Stored) -> None:
    failure = Failure(stage="generate", key=None, process=0, repeat=0, error="OutOfMemoryError", message="no memory")
    path = job.job / "cpu-fp32" / RUN_FILE
    store.save(store.load(Run, path).model_copy(update={"failures": [failure]}), path)


def not_run(job: Stored) -> None:
    for path in job.job.glob("comparison-*cpu-fp32*"):
        path.unlink()


def without_comparisons(job: Stored) -> None:
    for path in job.job.glob("comparison-*.json"):
        path.unlink()


def half_run(job: Stored) -> None:
    path = job.job / "candidate" / RUN_FILE
    run = store.load(Run, path)
    store.save(run.model_copy(update={"samples": [each for each in run.samples if each.key.case == "pizza"]}), path)


@pytest.mark.parametrize(
    ("plant", "arms", "words"),
    [
        (without_job, ["candidate", "cpu-fp32"], "no job answers this scenario; run: harness check "),
        (unfinished, ["candidate", "cpu-fp32"], "job 20260101T000000Z_one is unfinished"),
        (without_comparisons, ["candidate", "cpu-fp32"], "job 20260101T000000Z_one compared nothing"),
        (edited, ["candidate", "cpu-fp32"], "the scenario was edited after job 20260101T000000Z_one"),
        (failed, ["cpu-fp32"], "the run failed (1): generate: OutOfMemoryError: no memory"),
        (not_run, ["cpu-fp32"], "no job ran this arm"),
        (half_run, ["candidate"], "the run has 1 of 2 cases and seeds"),
    ],
)
def test_what_is_not_there_is_missing(
    tmp_path: Path, plant: Callable[[Stored], None], arms: list[str], words: str
) -> None:
    plant(stored(tmp_path, "one", sample_reports.drift))
    found = made(tmp_path)
    assert [arm for _, arm, _ in reasons(found)] == arms
    assert all(reason.startswith(words) for _, _, reason in reasons(found))
    commands = re.findall(r"harness check (\S+)", "\n".join(reason for _, _, reason in reasons(found)))
    assert all(Path(place).is_file() for place in commands), "what is suggested works from here"
    assert found.release.outcome is Status.ERROR
    for name in ("index.html", "report.md"):
        text = (found.folder / name).read_text(encoding="utf-8")
        assert text.count("MISSING") >= 2 * len(arms)
    junit = (found.folder / "junit.xml").read_text(encoding="utf-8")
    assert junit.count('message="error: MISSING: ') == len(arms)
    csv = (found.folder / "metrics.csv").read_text(encoding="utf-8")
    assert csv.count(",missing\n") == len(arms)


def test_a_scenario_that_cannot_be_used_is_missing_as_a_whole(tmp_path: Path) -> None:
    stored(tmp_path, "one", sample_reports.identical)
    (tmp_path / "scenarios" / "broken.yaml").write_text("name: broken\n", encoding="utf-8")
    found = made(tmp_path)
    ((scenario, arm, reason),) = reasons(found)
    assert (scenario, arm) == ("broken", None)
    assert "the scenario cannot be used here" in reason
    assert found.release.outcome is Status.ERROR


def test_the_newest_finished_job_answers(tmp_path: Path) -> None:
    for stamp in ("20260101T000000Z", "20260301T000000Z", "20260201T000000Z"):
        last = stored(tmp_path, "one", sample_reports.identical, stamp)
    unfinished(stored(tmp_path, "one", sample_reports.identical, "20260401T000000Z"))
    assert [each.job for each in made(tmp_path).release.jobs] == ["20260301T000000Z_one"]
    assert last.job.name == "20260201T000000Z_one"


def test_jobs_of_several_machines_stand_side_by_side(tmp_path: Path) -> None:
    first = stored(tmp_path, "one", sample_reports.drift, "20260101T000000Z")
    second = stored(tmp_path, "one", sample_reports.drift, "20260201T000000Z")
    not_run(first)
    found = made(tmp_path, first.scenario, jobs=[second.job, first.job])
    assert [each.job for each in found.release.jobs] == [first.job.name, second.job.name]
    assert found.release.missing == []


def test_a_job_that_was_not_asked_for_is_wrong_use(tmp_path: Path) -> None:
    one, two = (stored(tmp_path, name, sample_reports.identical) for name in ("one", "two"))
    with pytest.raises(UsageError, match="is a job of two, which was not asked for"):
        made(tmp_path, one.scenario, jobs=[two.job])


def test_names_and_languages_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a release"):
        release(ReleaseRequest(name="../up"), tmp_path)
    with pytest.raises(UnknownName, match="language"):
        release(ReleaseRequest(name="r1", languages=["zz"]), tmp_path)


def test_the_manifest_names_every_file_and_every_run_and_a_changed_file(tmp_path: Path) -> None:
    found = made(release_folder(tmp_path))
    manifest = store.load(ReleaseManifest, found.folder / MANIFEST_FILE)
    runs = sorted(run.id for job in found.release.jobs for run in job.report.runs)
    assert [each.id for each in manifest.runs] == runs
    assert [each.path for each in manifest.files] == sorted(
        path.name for path in found.folder.iterdir() if path.name != MANIFEST_FILE
    )
    assert verify_release(found.folder) == []
    page = found.folder / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace("DRIFT", "FINE"), encoding="utf-8")
    (found.folder / "junit.xml").unlink()
    (found.folder / "more.txt").write_text("more", encoding="utf-8")
    assert [line.split()[:3] for line in verify_release(found.folder)] == [
        ["more.txt", "is", "surplus:"],
        ["index.html", "is", "changed:"],
        ["junit.xml", "is", "missing"],
    ]


def test_what_is_no_longer_wanted_is_removed(tmp_path: Path) -> None:
    place = release_folder(tmp_path)
    folder = made(place).folder
    release(
        ReleaseRequest(name="r1", runs_folder=place / "runs", scenarios_folder=place / "scenarios"), place / "reports"
    )
    assert not (folder / "index.zh.html").exists()
    assert verify_release(folder) == []


def test_what_machines_read_is_the_same_in_every_language(tmp_path: Path) -> None:
    place = release_folder(tmp_path)
    texts = []
    for languages in (["en"], ["zh"]):
        request = ReleaseRequest(
            name="r1", languages=languages, runs_folder=place / "runs", scenarios_folder=place / "scenarios"
        )
        folder = release(request, place / "reports").folder
        texts.append([(folder / name).read_bytes() for name in ("junit.xml", "metrics.csv")])
        assert ("验证" in (folder / "index.html").read_text(encoding="utf-8")) == (languages == ["zh"])
    assert texts[0] == texts[1]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    """In two processes, with other hashes, and with job folders that came in another order."""
    contents = []
    makers = [("a", sample_reports.drift), ("b", sample_reports.hostile), ("c", sample_reports.error)]
    for index, ordered in enumerate((makers, makers[::-1])):
        place = tmp_path / str(index)
        for name, make in ordered:
            stored(place, name, make)
        words = [sys.executable, "-m", "harness", "release", "r1"]
        variables = environment(PYTHONHASHSEED=str(index), TZ=("UTC", "Asia/Shanghai")[index])
        done = subprocess.run(
            words, cwd=place, env=variables, capture_output=True, check=False, timeout=patience_seconds()
        )
        assert done.returncode == 3, done.stderr
        folder = place / "reports" / "r1"
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 8


def test_the_command_line_says_what_is_missing_and_ends_in_its_exit_code(
    tmp_path: Path, run_harness: RunHarness
) -> None:
    edited(stored(tmp_path, "one", sample_reports.identical))
    ended = run_harness("release", "r1", "--lang", "en")
    assert ended.code == 3
    assert "MISSING: one, candidate: the scenario was edited after job 20260101T000000Z_one" in ended.out
    assert str(Path("reports") / "r1" / "index.html") in ended.out
    whole = run_harness("release", "r1", "--verify")
    assert (whole.code, whole.out.strip()) == (0, "reports/r1: every file is as its manifest says")
    (tmp_path / "reports" / "r1" / "report.md").write_text("", encoding="utf-8")
    ended = run_harness("release", "r1", "--verify")
    assert (ended.code, "report.md is changed" in ended.out) == (3, True)
    ended = run_harness("release", "r1", "--verify", "--json")
    assert (ended.code, len(json.loads(ended.out)["problems"])) == (3, 1)
    summary = json.loads(run_harness("release", "r1", "--json").out)
    assert [each["arm"] for each in summary["missing"]] == ["candidate", "as-shipped"]
