"""One scenario over stored jobs: the records' numbers, what changed between, and what is left out by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from harness import store
from harness.errors import NothingSelected, RecordError, UnknownName
from harness.jobs.release import ReleaseRequest, release
from harness.jobs.trend import Sources, table_of, trend, write_page, write_table
from harness.language import spoken, untranslated
from harness.records import MANIFEST_FILE, RUN_FILE, ChangeKind, ModelIdentity, Run, Status, Switch, Trend
from harness.render import _trend
from tests.command_line import ROOT, environment, patience_seconds
from tests.release_jobs import stored
from tests.render import sample_reports
from tests.render.test_validity import problems

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import MadeOnce, RunHarness
    from tests.release_jobs import Stored

STAMPS = ("20260101T000000Z", "20260102T000000Z", "20260103T000000Z")


@dataclass(frozen=True)
class Placed:
    """A job on the disk, and the scenario's file."""

    job: Path
    scenario: Path


def jobs(place: Path) -> list[Stored]:
    """Three jobs: one that passes, one with another torch that drifts, and one with a looser limit that passes."""
    made = [
        stored(place, "port", maker, stamp)
        for maker, stamp in zip(
            (sample_reports.within_limits, sample_reports.drift, sample_reports.within_limits), STAMPS, strict=True
        )
    ]
    for job in made[1:]:
        change_runs(job, packages={"torch": "2.10.0", "torch_npu": "2.9.0.post1"})
    return made


@pytest.fixture
def three(tmp_path: Path, made_once: MadeOnce) -> list[Placed]:
    """The three jobs below ``tmp_path``, to be spoiled."""
    shutil.copytree(made_once("trend-jobs", jobs), tmp_path, dirs_exist_ok=True)
    scenario = tmp_path / "scenarios" / "port.yaml"
    return [Placed(tmp_path / "runs" / f"{stamp}_port", scenario) for stamp in STAMPS]


def change_runs(job: Placed | Stored, **changes: object) -> None:
    for path in job.job.glob(f"*/{RUN_FILE}"):
        run = store.load(Run, path)
        assert run.environment is not None
        store.save(run.model_copy(update={"environment": run.environment.model_copy(update=changes)}), path)


def made(place: Path, name: str = "port") -> Trend:
    return trend(name, Sources(runs_folder=place / "runs", reports_folder=place / "reports"))


def test_values_limits_and_verdicts_are_those_of_the_records(tmp_path: Path) -> None:
    stored_jobs = jobs(tmp_path)
    found = made(tmp_path)
    assert [point.job for point in found.points] == [job.job.name for job in stored_jobs]
    assert [point.outcome for point in found.points] == [job.report.outcome for job in stored_jobs]
    for job, point in zip(stored_jobs, found.points, strict=True):
        (compared,) = [each for each in job.report.comparisons if each.scope == "reference"]
        psnrs = [each.value for pair in compared.pairs if (each := pair.measurement("psnr_db", "image"))]
        (value,) = [
            each
            for each in point.values  # noqa: PD011 - a record, no table
            if (each.scope, each.metric, each.subject) == ("reference", "psnr_db", "image")
        ]
        assert value.value == min(each for each in psnrs if each is not None)
        (limit,) = [each for each in compared.limits if each.metric == "psnr_db"]
        assert (value.at_least, value.bound) == (limit.at_least, limit.at_least)
        assert value.status is Status.WITHIN_LIMITS
    (tile,) = [each for each in found.points[1].values if each.metric == "ssim_tile_min" and each.at_least]  # noqa: PD011
    assert (tile.at_least, tile.status) == (0.98, Status.DRIFT)
    assert tile.value == pytest.approx(0.931, abs=1e-3)


def test_repeats_are_told_by_arm_with_their_bound_and_none_where_runs_differ(tmp_path: Path) -> None:
    stored(tmp_path, "port", sample_reports.identical, STAMPS[0])
    stored(tmp_path, "port", sample_reports.unstable, STAMPS[1])
    steady, unsteady = (
        {each.arm: (each.fewest_runs, each.most_outcomes, each.bound_95, each.status) for each in point.repeats}
        for point in made(tmp_path).points
    )
    assert steady["candidate"] == (6, 1, 1 - 0.05 ** (1 / 6), Status.IDENTICAL)
    assert unsteady == {"candidate": (6, 2, None, Status.UNSTABLE)}


def test_what_changed_is_named_with_both_versions_and_only_where_it_changed(
    tmp_path: Path, three: list[Placed]
) -> None:
    assert three
    found = made(tmp_path)
    assert found.points[0].changes == []
    packages = [each for each in found.points[1].changes if each.kind is ChangeKind.PACKAGE]
    assert ("torch", "2.9.0+cpu", "2.10.0") in [(each.name, each.before, each.after) for each in packages]
    assert ("diffusers", "0.38.0", "") in [(each.name, each.before, each.after) for each in packages]
    assert "torch_npu" not in [each.name for each in packages]
    assert [each for each in found.points[2].changes if each.kind is ChangeKind.PACKAGE] == []


def test_only_switches_that_can_move_a_number_are_changes(tmp_path: Path, three: list[Placed]) -> None:
    for job, turns in zip(three, ("5000", "1000", "5000"), strict=True):
        waiting = Switch(name="GOMP_SPINCOUNT", requested=turns, effective=turns, source="backend")
        threads = Switch(name="OMP_NUM_THREADS", requested=turns, effective=turns, source="scenario")
        change_runs(job, switches=[waiting, threads])
    changed = [change.name for change in made(tmp_path).points[1].changes if change.kind is ChangeKind.SWITCH]
    assert changed == ["OMP_NUM_THREADS"]


def test_an_edited_scenario_is_a_change_that_names_the_field_and_the_limit(tmp_path: Path, three: list[Placed]) -> None:
    _, other, _ = three
    found = made(tmp_path)
    named = {each.name: (each.before, each.after) for each in found.points[1].changes if each.kind == "scenario"}
    assert named["limit psnr_db image reference"] == ("at_least: 20.0", "at_least: 40.0")
    assert named["limit ssim_tile_min image reference"] == ("", "at_least: 0.98")
    path = other.job / store.JOB_FILE
    job = store.load(store.Job, path)
    changed = job.scenario.model_copy(update={"steps": 99})
    store.save(job.model_copy(update={"scenario": changed}), path)
    named = {each.name: (each.before, each.after) for each in made(tmp_path).points[1].changes}
    assert named["steps"] == ("20", "99")


def test_a_release_keeps_a_job_that_is_gone_and_its_name_stands_with_the_job(
    tmp_path: Path, released: list[Placed]
) -> None:
    first, *_ = released
    assert [point.releases for point in made(tmp_path).points] == [["r1"], [], []]
    first.job.rename(tmp_path / "gone")
    oldest = made(tmp_path).points[0]
    assert (oldest.job, oldest.releases) == (first.job.name, ["r1"])


# --- what is left out ------------------------------------------------------------------------------------------------


def unfinished(job: Placed) -> None:
    path = job.job / store.JOB_FILE
    store.save(store.load(store.Job, path).model_copy(update={"state": "unfinished"}), path)


def without_comparisons(job: Placed) -> None:
    for path in job.job.glob("comparison-*.json"):
        path.unlink()


def with_half_a_job(job: Placed) -> None:
    path = job.job / store.JOB_FILE
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")


def with_half_a_comparison(job: Placed) -> None:
    path = next(job.job.glob("comparison-*.json"))
    path.write_text(path.read_text(encoding="utf-8")[:-100], encoding="utf-8")


def with_a_sample_twice(job: Placed) -> None:
    path = job.job / "candidate" / RUN_FILE
    run = store.load(Run, path)
    store.save(run.model_copy(update={"samples": [*run.samples, run.samples[0]]}), path)


def with_another_model(job: Placed) -> None:
    path = job.job / "candidate" / RUN_FILE
    run = store.load(Run, path)
    other = ModelIdentity(source="elsewhere", digest="1" * 64, code={}, weights_bytes=1)
    store.save(run.model_copy(update={"model": other}), path)


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (unfinished, "the job is unfinished"),
        (without_comparisons, "the job compared nothing"),
        (with_half_a_job, "is not valid JSON"),
        (with_half_a_comparison, "is not valid JSON"),
        (with_a_sample_twice, "is not the record of the samples beside it: it lists a sample twice"),
        (with_another_model, "not the model of 20260103T000000Z_port, the newest job: the model differs: actual 1111"),
    ],
)
def test_a_job_that_cannot_be_part_of_it_is_named_with_the_reason(
    plant: Callable[[Placed], None], words: str, tmp_path: Path, three: list[Placed]
) -> None:
    first, *_ = three
    plant(first)
    found = made(tmp_path)
    assert [point.job for point in found.points] == [f"{stamp}_port" for stamp in STAMPS[1:]]
    (entry,) = found.left_out
    assert entry.name == first.job.name
    assert words in entry.reason
    (page,) = write_page(found, tmp_path / "out", ["en"])
    text = page.read_text(encoding="utf-8")
    assert "LEFT OUT" in text
    assert first.job.name in text


@pytest.fixture
def released(tmp_path: Path, three: list[Placed]) -> list[Placed]:
    """The three jobs, with a release that rests on the first."""
    first = three[0]
    request = ReleaseRequest(
        name="r1", scenarios=[first.scenario], jobs=[first.job], languages=["en"], runs_folder=tmp_path / "runs"
    )
    release(request, tmp_path / "reports")
    return three


@pytest.mark.usefixtures("released")
def test_a_release_that_was_changed_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "r1" / "report.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Ascend910B3", "Ascend910B4", 1), encoding="utf-8")
    (entry,) = made(tmp_path).left_out
    assert entry.name == "r1"
    assert entry.reason.startswith("the release is not as it was made: report.json is changed")


def test_a_job_whose_runs_are_not_those_of_its_release_is_left_out(tmp_path: Path, released: list[Placed]) -> None:
    first, *_ = released
    change_runs(first, packages={"torch": "2.9.1"})
    found = made(tmp_path)
    assert [entry.name for entry in found.left_out] == [first.job.name]
    assert found.left_out[0].reason == "its runs are not those that the release r1 was made from"
    assert len(found.points) == 2


@pytest.mark.usefixtures("released")
def test_a_release_without_a_manifest_record_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "reports" / "r1" / MANIFEST_FILE).write_text("{}", encoding="utf-8")
    assert [entry.name for entry in made(tmp_path).left_out] == ["r1"]


def test_no_job_and_one_job_are_told(tmp_path: Path, three: list[Placed]) -> None:
    with pytest.raises(NothingSelected, match="hold no usable job of port; a trend needs two"):
        made(tmp_path / "elsewhere")
    first, second, third = three
    third.job.rename(tmp_path / "gone")
    unfinished(second)
    with pytest.raises(NothingSelected, match=f"one usable job of port .{first.job.name}.; a trend needs two") as told:
        made(tmp_path)
    assert f"left out: {second.job.name}: the job is unfinished" in str(told.value)
    with pytest.raises(UnknownName, match="Did you mean 'port'"):
        made(tmp_path, "prot")


def test_a_scenario_is_named_by_its_file_too(tmp_path: Path, three: list[Placed]) -> None:
    first, *_ = three
    assert made(tmp_path, str(first.scenario)) == made(tmp_path)


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("released")
def test_the_pages_are_valid_and_say_the_same_in_every_language(tmp_path: Path) -> None:
    found = made(tmp_path)
    pages = write_page(found, tmp_path / "out", ["en", "zh"])
    assert [path.name for path in pages] == ["index.html", "index.zh.html"]
    english, chinese = (path.read_text(encoding="utf-8") for path in pages)
    assert problems(english) == []
    assert problems(chinese) == []
    numbers = [re.findall(r"<td[^>]*>[^<]*?([0-9.]{4,})", page) for page in (english, chinese)]
    assert numbers[0] == numbers[1]
    assert 'href="index.zh.html"' in english
    assert '<polyline class="bound"' in english
    assert "torch: 2.9.0+cpu → 2.10.0" in english
    assert "r1" in english
    with spoken("zh"), untranslated() as missing:
        _trend.document(found, {"en": "index.html", "zh": "index.zh.html"})
    assert missing == {}


@pytest.mark.usefixtures("three")
def test_the_table_has_a_row_for_each_value_of_each_job(tmp_path: Path) -> None:
    found = made(tmp_path)
    write_table(found, tmp_path / "trend.csv")
    table = pd.read_csv(tmp_path / "trend.csv")
    count = sum(len(point.values) + 2 * len(point.repeats) for point in found.points)
    assert len(table) == len(table_of(found)) == count
    of_images = table[(table.subject == "image") & (table.scope == "reference")]
    assert list(of_images[of_images.metric == "psnr_db"].at_least) == [20, 40, 20]
    (tile,) = of_images[(of_images.metric == "ssim_tile_min") & of_images.status.notna()].to_dict("records")
    assert (tile["status"], tile["value"] < tile["at_least"]) == ("drift", True)
    assert set(table[table.metric == "distinct_outcomes"].value) == {1}


@pytest.mark.usefixtures("three")
def test_without_pandas_the_message_says_what_to_install(tmp_path: Path) -> None:
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir()
    (forbidden / "pandas.py").write_text("raise ImportError('planted')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "trend", "port", "--csv", "trend.csv"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{forbidden}:{ROOT}"),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 2
    assert "a table needs pandas, which is not installed here; pip install" in done.stderr
    assert not (tmp_path / "trend").exists()


@pytest.mark.usefixtures("three")
def test_the_command_writes_pages_and_table_and_names_them(run_harness: RunHarness) -> None:
    ended = run_harness("trend", "port", "--csv", "trend.csv")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[1].startswith("drift: 20260102T000000Z_port, ")
    assert ended.out.splitlines()[3:] == ["trend/port/index.html", "trend/port/index.zh.html", "trend.csv"]


@pytest.mark.usefixtures("three")
def test_a_damaged_job_of_another_scenario_is_not_of_this_one(tmp_path: Path) -> None:
    other = stored(tmp_path, "other", sample_reports.within_limits)
    with_half_a_job(Placed(other.job, other.scenario))
    assert made(tmp_path).left_out == []
    with pytest.raises((NothingSelected, RecordError)):
        made(tmp_path, "other")
