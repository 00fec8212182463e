"""Reports for people speak the language that was asked for; those for machines are the same in every language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness import language, plugins
from harness.errors import UnknownName
from harness.images import write_picture
from harness.jobs.compare import compare
from harness.jobs.report import FORMATS, write_report
from tests.compare.stored_runs import job_folder
from tests.render import sample_reports

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

FOR_MACHINES = ["report.json", "junit.xml", "metrics.csv"]
FOR_PEOPLE = {"index.html", "report.md", "summary.md"}


def test_what_is_for_people_is_rendered_in_the_language_and_the_rest_in_english(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in plugins.names("render"):
        monkeypatch.setattr(plugins.load("render", name), "render", lambda *_, **__: language.language())
    report = sample_reports.identical(tmp_path)
    files = write_report(report, tmp_path, tmp_path / "report", list(FORMATS), "zh")
    assert {path.name for path in files if path.read_text() == "zh"} == FOR_PEOPLE
    assert sorted(path.name for path in files if path.read_text() == "en") == sorted(FOR_MACHINES)
    assert language.language() == "en"


def test_a_report_from_the_command_line_speaks_chinese_to_people_only(tmp_path: Path, run_harness: RunHarness) -> None:
    job = job_folder(tmp_path / "job", ("one", "AAB"), ("other", "AA"))
    comparison, _ = compare(job / "one", job / "other", None)
    for code in ("en", "zh"):
        words = ["--format", ",".join(FORMATS), "--out", code, "--lang", code]
        ended = run_harness("report", comparison, *words)
        assert ended.code == 0, ended.err
    for name in FOR_MACHINES:
        assert (tmp_path / "zh" / name).read_bytes() == (tmp_path / "en" / name).read_bytes()
    assert '<html lang="zh-Hans">' in (tmp_path / "zh" / "index.html").read_text(encoding="utf-8")
    assert '<html lang="en">' in (tmp_path / "en" / "index.html").read_text(encoding="utf-8")


def test_english_is_spoken_when_nothing_is_said(tmp_path: Path, run_harness: RunHarness) -> None:
    job = job_folder(tmp_path / "job", ("one", "AA"))
    comparison, _ = compare(job / "one", job / "one", None)
    assert run_harness("report", comparison, "--out", "said", "--lang", "en").code == 0
    assert run_harness("report", comparison, "--out", "unsaid").code == 0
    for name in ("index.html", "report.md"):
        assert (tmp_path / "said" / name).read_bytes() == (tmp_path / "unsaid" / name).read_bytes()


def test_an_unknown_language_is_refused_with_the_nearest_before_anything_is_written(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    job = job_folder(tmp_path / "job", ("one", "AA"))
    comparison, _ = compare(job / "one", job / "one", None)
    for ended in (
        run_harness("report", comparison, "--out", "out", "--lang", "zhh"),
        run_harness("check", write_scenario(), "--lang", "zhh"),
    ):
        assert ended.code == 2, ended.err
        assert "Did you mean 'zh'" in ended.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "runs").exists()


def test_an_unknown_format_is_refused_before_the_first_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="htlm"):
        write_report(sample_reports.identical(tmp_path), tmp_path, tmp_path / "out", ["md", "htlm"])
    assert not (tmp_path / "out").exists()


def test_check_writes_its_reports_in_the_language(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "circle-42.png", sample_reports.picture("cup"))
    height, width, _ = sample_reports.picture("cup").shape
    path = write_scenario(
        model={"adapter": "images", "source": "pictures", "pictures": "{case}-{seed}.png", "trust_remote_code": False},
        repeats={"in_process": 1, "processes": 1},
        limits=[],
        width=width,
        height=height,
    )
    ended = run_harness("check", path, "--lang", "zh")
    assert ended.code == 5, ended.err  # nothing to judge: one picture, no limit
    (page,) = tmp_path.glob("runs/*/report/index.html")
    assert '<html lang="zh-Hans">' in page.read_text(encoding="utf-8")
