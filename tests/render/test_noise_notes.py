"""What reports say of draws that are not those of the generator which a pipeline was given, or that nobody knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.language import spoken
from harness.records import DrawnFrom, Report, Sample, from_json
from tests.render import sample_reports
from tests.render.readers import readable, rendered, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOTH = pytest.mark.parametrize("name", ["html", "markdown"])
GIVEN, GLOBAL, OTHER = DrawnFrom.GIVEN, DrawnFrom.GLOBAL, DrawnFrom.OTHER
ROW = "Draws that pass over the given generator"
SENTENCE = "some draws came from the global generator of the device instead"
HIDDEN_ROW = "Uncontrolled random draws"
HIDDEN_SENTENCE = "some random draws could not be controlled"


def text(name: str, report: Report, folder: Path) -> str:
    """What is to be read, without the backslashes of Markdown."""
    return readable(name, rendered(name, report, folder)).replace("\\", "")


def row(name: str, report: Report, folder: Path, title: str = ROW) -> list[str]:
    shown = {cells[0]: cells[1:] for cells in rows(name, rendered(name, report, folder).replace("\\", ""))}
    return shown.get(title, [])


def first_arm(report: Report, change: Callable[[Sample], Sample], samples: int = 1_000) -> Report:
    """The report with a change in the first samples of the first arm."""
    run, *others = report.runs
    changed = [change(sample) for sample in run.samples[:samples]]
    first = run.model_copy(update={"samples": [*changed, *run.samples[samples:]]})
    return report.model_copy(update={"runs": [first, *others]})


def drawing(*origins: DrawnFrom | None) -> Callable[[Sample], Sample]:
    def change(sample: Sample) -> Sample:
        draws = [sample.draws[0].model_copy(update={"drawn_from": origin}) for origin in origins]
        return sample.model_copy(update={"draws": draws})

    return change


@BOTH
@pytest.mark.parametrize("origins", [(None,), (GIVEN,), (GIVEN, GIVEN)])
def test_nothing_is_said_of_a_pipeline_that_draws_from_the_given_generator_or_was_given_none(
    name: str, origins: tuple[DrawnFrom | None, ...], tmp_path: Path
) -> None:
    report = first_arm(sample_reports.drift(tmp_path), drawing(*origins))
    shown = text(name, report, tmp_path)
    assert ROW not in shown
    assert SENTENCE not in shown


@BOTH
def test_a_draw_from_the_global_generator_is_said_with_what_it_means(name: str, tmp_path: Path) -> None:
    report = first_arm(sample_reports.drift(tmp_path), drawing(GIVEN, GLOBAL), samples=1)
    assert row(name, report, tmp_path) == ["the global one in 1 picture", "not known"]
    arm = report.runs[0].plan.arm.name
    assert f"That the generator which a pipeline is given decides its pictures, in {arm}: {SENTENCE}" in text(
        name, report, tmp_path
    )


@BOTH
def test_a_draw_from_a_generator_of_the_pipelines_own_is_a_fact_and_no_more(name: str, tmp_path: Path) -> None:
    report = first_arm(sample_reports.drift(tmp_path), drawing(GIVEN, OTHER), samples=2)
    assert row(name, report, tmp_path) == ["its own ones in 2 pictures", "not known"]
    assert SENTENCE not in text(name, report, tmp_path)


@BOTH
def test_arms_are_told_apart(name: str, tmp_path: Path) -> None:
    report = first_arm(sample_reports.drift(tmp_path), drawing(GLOBAL, OTHER), samples=3)
    run, other = report.runs
    given = other.model_copy(update={"samples": [drawing(GIVEN)(sample) for sample in other.samples]})
    report = report.model_copy(update={"runs": [run, given]})
    assert row(name, report, tmp_path) == [
        "the global one in 3 pictures; its own ones in 3 pictures",
        "none seen",
    ]


@BOTH
def test_it_is_said_in_chinese_too(name: str, tmp_path: Path) -> None:
    report = first_arm(sample_reports.drift(tmp_path), drawing(GLOBAL, OTHER), samples=3)
    with spoken("zh"):
        assert row(name, report, tmp_path, "未使用所给生成器的随机抽取") == [
            "全局生成器（3 张图片）；流水线自建的生成器（3 张图片）",
            "未知",
        ]
        assert "有些随机抽取改用了设备的全局生成器" in text(name, report, tmp_path)


def test_it_stands_in_the_json_with_each_draw(tmp_path: Path) -> None:
    report = first_arm(sample_reports.drift(tmp_path), drawing(GIVEN, GLOBAL, OTHER))
    stored = rendered("json", report, tmp_path)
    draws = json.loads(stored)["runs"][0]["samples"][0]["draws"]
    assert [draw["drawn_from"] for draw in draws] == ["given", "global", "other"]
    assert from_json(Report, stored, place="report.json") == report


def test_a_draw_of_an_earlier_file_is_read(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    text_before = rendered("json", report, tmp_path)
    data = json.loads(text_before)
    for run in data["runs"]:
        for sample in run["samples"]:
            for draw in sample["draws"]:
                del draw["drawn_from"]
    assert from_json(Report, json.dumps(data), place="report.json") == report


@BOTH
def test_draws_that_nobody_knows_are_said_beside_them(name: str, tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    assert row(name, report, tmp_path, HIDDEN_ROW) == ["none seen"] * len(report.runs)
    assert HIDDEN_SENTENCE not in text(name, report, tmp_path)
    hidden = first_arm(report, lambda sample: sample.model_copy(update={"hidden_draws": ["torch.rand was called"]}), 2)
    assert row(name, hidden, tmp_path, HIDDEN_ROW) == ["in 2 pictures", "none seen"]
    assert HIDDEN_SENTENCE in text(name, hidden, tmp_path)
