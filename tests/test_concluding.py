"""A check ends in one sentence that is true of its records: the verdict, the worst example, what is not shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.jobs.concluding import conclusion
from tests.render.sample_reports import BUILDERS

if TYPE_CHECKING:
    from harness.records import Report

PAGE = Path("report/index.html")
SENTENCES = {
    "identical": "PASS: 4 of 4 images of candidate and as-shipped identical in 6 runs each. Not shown: that repeats "
    "never differ (a rate up to 39% is not excluded); accuracy (nothing was compared with a reference). Open PAGE",
    "unstable": "FAIL: 1 of 2 images of candidate not repeatable (glove, seed 42: 2 outcomes in 6 runs). Open PAGE",
    "drift": "FAIL: 1 of 2 pairs of candidate breaks a limit (pizza, seed 42: ssim_tile_min 0.9312, at least 0.98). "
    "Open PAGE",
    "within_limits": "PASS: 2 of 2 pairs within limits against cpu-fp32. Open PAGE",
    "not_comparable": "NOT COMPARABLE: The two sides did not start from the same noise. Open PAGE",
    "error": "ERROR: 2 failures, the first: glove, seed 42: NPU out of memory. Tried to allocate 2.00 GiB. Open PAGE",
    "skipped": "NOTHING JUDGED: There was nothing to repeat. Open PAGE",
    "simulated": "PASS: 2 of 2 images of candidate identical in 6 runs each. Not shown: that repeats never differ (a "
    "rate up to 39% is not excluded); accuracy (nothing was compared with a reference); anything about real hardware "
    "(the device is simulated). Open PAGE",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_each_ending_has_its_sentence(name: str, tmp_path: Path) -> None:
    assert conclusion([BUILDERS[name](tmp_path)], [PAGE]) == SENTENCES[name].replace("PAGE", str(PAGE))


def test_a_cpu_in_the_place_of_an_accelerator_is_said(tmp_path: Path) -> None:
    assert "anything about an accelerator (a CPU did the work)" in conclusion([BUILDERS["stand_in"](tmp_path)], [])


def test_one_run_of_an_image_is_not_called_identical(tmp_path: Path) -> None:
    report = BUILDERS["identical"](tmp_path)
    comparison = report.comparisons[0]
    once, *others = comparison.repetitions
    single = comparison.model_copy(update={"repetitions": [once.model_copy(update={"runs": 1}), *others]})
    said = conclusion([report.model_copy(update={"comparisons": [single]})], [])
    assert said.startswith("PASS: 1 of 1 image of candidate identical in 6 runs each. Not shown: ")
    alone = single.model_copy(update={"repetitions": single.repetitions[:1]})
    assert " identical in " not in conclusion([report.model_copy(update={"comparisons": [alone]})], [])


def test_of_several_scenarios_the_worst_decides_and_all_pages_are_named(tmp_path: Path) -> None:
    reports: list[Report] = []
    for name in ("identical", "drift"):
        (tmp_path / name).mkdir()
        reports.append(BUILDERS[name](tmp_path / name))
    sentence = conclusion(reports, [Path("a.html"), Path("b.html")])
    assert sentence.startswith("FAIL: 1 of 2 pairs of candidate breaks a limit (pizza, seed 42: ")
    assert sentence.endswith(" Open a.html and b.html")


def test_whatever_an_error_says_it_stays_one_line(tmp_path: Path) -> None:
    sentence = conclusion([BUILDERS["hostile"](tmp_path)], [PAGE])
    assert sentence.startswith("ERROR: 1 failure, the first: markup, seed 42: ")
    assert len(sentence.splitlines()) == 1
    assert "\x1b" not in sentence
