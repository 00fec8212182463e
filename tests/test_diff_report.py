"""The report of two folders of picture files: the worst pair first, with all that was said of it, and every value."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness.images import write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.command_line import Ended, RunHarness


def smooth(seed: int, side: int = 96) -> NDArray[np.uint8]:
    """A picture with shapes, which no hint takes for noise."""
    random = np.random.default_rng(seed)
    small = random.integers(40, 200, (6, 6, 3)).astype(np.float64)
    return np.kron(small, np.ones((side // 6, side // 6, 1))).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Five expected pictures; one equal, one a level apart, one mirrored, one of which part is wrong, one missing."""
    for name in ("mine", "goldens"):
        (tmp_path / name).mkdir()
    for number, name in enumerate(("equal", "level", "mirrored", "part", "missing")):
        image = smooth(number)
        write_picture(tmp_path / "goldens" / f"{name}.png", image)
        actual = image.copy()
        if name == "level":
            actual[0, 0, 0] += 1
        if name == "mirrored":
            actual = actual[:, ::-1]
        if name == "part":
            actual[:16, :16] = 255 - actual[:16, :16]
        if name != "missing":
            write_picture(tmp_path / "mine" / f"{name}.png", np.ascontiguousarray(actual))
    write_picture(tmp_path / "mine" / "surplus.png", smooth(9))
    (tmp_path / "goldens" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "mine" / "broken.png").write_bytes(b"no picture")
    return tmp_path


def reported(run_harness: RunHarness, *words: str | Path) -> Ended:
    return run_harness("diff", "mine", "goldens", "--report", "report", "--at-least", "psnr_db=30", *words)


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "report" / "pairs.csv").read_text(encoding="utf-8"))))


def test_the_page_shows_the_worst_pair_first_with_what_it_looks_like(folders: Path, run_harness: RunHarness) -> None:
    ended = reported(run_harness)
    assert ended.code == 3, ended.err
    page = (folders / "report" / "index.html").read_text(encoding="utf-8")
    titles = re.findall(r'class="case" id="pair-\d+"[^>]*>\s*<(?:h3|summary><span)>([^\s<]+)', page)
    assert titles == ["mirrored.png", "part.png", "level.png"], "worst first, and equal ones are not shown"
    assert "mirror image" in page
    assert "missing.png" in page
    assert "surplus.png" in page
    assert "broken.png" in page
    assert page.count("data:image/webp") > 9
    assert re.search(r'<a href="#pair-1"><code>mirrored.png', page)
    assert not re.search(r'(?:src|href)="https?:', page)
    assert "NOISE UNVERIFIED" in page


def test_the_text_and_the_page_speak_the_language_that_is_asked_for(folders: Path, run_harness: RunHarness) -> None:
    assert reported(run_harness, "--lang", "zh").code == 3
    text = (folders / "report" / "report.md").read_text(encoding="utf-8")
    assert "噪声未核实" in text
    assert "Pairs that differ" not in text
    assert run_harness("diff", "mine", "goldens", "--report", "other", "--lang", "xx").code == 2


@pytest.mark.parametrize("limit", [(), ("--at-least", "psnr_db=30")])
def test_the_page_tells_which_pair_shows_nothing(
    limit: tuple[str, ...], tmp_path: Path, run_harness: RunHarness
) -> None:
    for name in ("mine", "goldens"):
        (tmp_path / name).mkdir()
        write_picture(tmp_path / name / "black.png", np.zeros((64, 64, 3), np.uint8))
        write_picture(tmp_path / name / "equal.png", smooth(1))
    run_harness("diff", "mine", "goldens", "--report", "report", *limit)
    for name in ("report.md", "index.html"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert "1 pair has a side that shows nothing." in text
        assert "black.png: the actual image shows nothing: " in text
        assert "equal.png:" not in text


def test_what_a_page_tells_of_pairs_is_in_its_language(tmp_path: Path, run_harness: RunHarness) -> None:
    for name in ("mine", "goldens"):
        (tmp_path / name).mkdir()
        write_picture(tmp_path / name / "black.png", np.zeros((64, 64, 3), np.uint8))
        write_picture(tmp_path / name / "drift.png", smooth(1 if name == "mine" else 2))
        write_picture(tmp_path / name / f"of-{name}.png", smooth(3))
    limits = ("--at-least", "psnr_db=60", "--at-most", "max_abs_diff=0")
    run_harness("diff", "mine", "goldens", "--report", "report", "--lang", "zh", *limits)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "black.png：实际图片没有任何内容：" in text
    assert "允许：" in text
    assert re.findall(r"[A-Za-z]{2,}(?:[ ,]+[A-Za-z]{2,}){2}", text) == []


def test_every_value_stands_in_the_table(folders: Path, run_harness: RunHarness) -> None:
    reported(run_harness, "--out", "pairs.jsonl")
    lines = [json.loads(line) for line in (folders / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    told = {row["name"]: row for row in rows(folders)}
    assert told.keys() == {line["name"] for line in lines}
    for line in lines:
        row = told[line["name"]]
        assert (row["outcome"], row["presence"]) == (line["outcome"], line["presence"])
        for measurement in line["measurements"]:
            if measurement["value"] is not None:
                assert float(row[measurement["metric"]]) == pytest.approx(float(measurement["value"]), rel=1e-15)
    assert told["level.png"]["differing_pixels"] == "1"
    assert float(told["part.png"]["differing_share"]) == pytest.approx(256 / 96**2, rel=0.01)
    assert "mirror" in told["mirrored.png"]["looks_like"]
    assert told["missing.png"]["presence"] == "missing"


def test_statistics_are_those_of_the_differing_pairs(folders: Path, run_harness: RunHarness) -> None:
    ended = run_harness("diff", "mine", "goldens", "--out", "pairs.jsonl", "--json")
    found = {each["metric"]: each for each in json.loads(ended.out)["statistics"]}
    lines = [json.loads(line) for line in (folders / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    values = sorted(
        each["value"]
        for line in lines
        if line["differing_pixels"]
        for each in line["measurements"]
        if each["metric"] == "psnr_db"
    )
    psnr = found["psnr_db"]
    assert psnr["pairs"] == len(values) == 3
    assert psnr["mean"] == pytest.approx(statistics.fmean(values))
    assert (psnr["lowest"], psnr["median"], psnr["highest"]) == (values[0], values[1], values[2])
    assert (psnr["percentile_5"], psnr["percentile_95"]) == (values[0], values[2])
    assert "identical" not in found
    equal = run_harness("diff", "goldens/equal.png", "goldens/equal.png", "--json")
    assert json.loads(equal.out)["differing_pixels"] == 0


def test_test_cases_fail_where_pairs_do(folders: Path, run_harness: RunHarness) -> None:
    reported(run_harness)
    suite = ET.parse(folders / "report" / "junit.xml").getroot()[0]
    state = {case.get("name"): {child.tag for child in case} - {"properties"} for case in suite.iter("testcase")}
    assert state["equal.png"] == state["level.png"] == set()
    assert state["mirrored.png"] == state["part.png"] == {"failure"}
    assert state["missing.png"] == state["broken.png"] == {"error"}


def test_a_file_of_results_becomes_the_same_table_without_pictures(folders: Path, run_harness: RunHarness) -> None:
    reported(run_harness, "--out", "pairs.jsonl")
    first = (folders / "report" / "pairs.csv").read_bytes()
    ended = run_harness("report", "pairs.jsonl", "--out", "again")
    assert ended.code == 0, ended.err
    assert (folders / "again" / "pairs.csv").read_bytes() == first
    page = (folders / "again" / "index.html").read_text(encoding="utf-8")
    assert "holds no pictures" in page
    assert "data:image/webp" not in page
    (folders / "pairs.jsonl").write_text('{"name": 3}\n', encoding="utf-8")
    cut = run_harness("report", "pairs.jsonl", "--out", "worse")
    assert (cut.code, "pairs.jsonl, line 1" in cut.err) == (2, True)
    assert not (folders / "worse").exists()


def test_two_files_have_a_page_too(folders: Path, run_harness: RunHarness) -> None:
    ended = run_harness("diff", "mine/part.png", "goldens/part.png", "--report", "report")
    assert ended.code == 0, ended.err
    page = (folders / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count('<article class="case"') == 1
    assert "data:image/webp" in page
    renamed = run_harness("diff", "mine/part.png", "goldens/level.png", "--report", "other")
    assert renamed.code == 0, renamed.err
    assert "not shown" not in (folders / "other" / "index.html").read_text(encoding="utf-8")


def test_a_picture_that_changed_meanwhile_is_said_to_be_not_shown(folders: Path, run_harness: RunHarness) -> None:
    from harness.jobs.diff import Bounds, Output, Reading, diff

    diff(
        folders / "mine",
        folders / "goldens",
        bounds=Bounds(),
        reading=Reading(jobs=1),
        output=Output(report=folders / "report", lines=folders / "pairs.jsonl"),
    )
    assert "no such file" not in (folders / "report" / "index.html").read_text(encoding="utf-8").lower()
    assert run_harness("diff", "mine", "goldens", "--report", "mine/part.png/report").code == 3


# --- pairs by a list --------------------------------------------------------------------------------------------------


def test_a_list_pairs_names_that_have_nothing_in_common(folders: Path, run_harness: RunHarness) -> None:
    (folders / "pairs.csv").write_text("actual,expected\nsurplus.png,missing.png\n\n", encoding="utf-8")
    without = run_harness("diff", "mine", "goldens", "--ignore", "broken.png")
    assert "missing: missing.png" in without.out
    ended = run_harness(
        "diff", "mine", "goldens", "--ignore", "broken.png", "--pair-list", "pairs.csv", "--out", "o.jsonl"
    )
    assert ended.code == 0, ended.err
    assert "surplus.png and missing.png (list)" in ended.out
    assert "missing: " not in ended.out
    lines = [json.loads(line) for line in (folders / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    (listed,) = [line for line in lines if line["name"] == "surplus.png"]
    assert listed["expected_name"] == "missing.png"
    assert listed["measurements"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("surplus.png,mising.png", "Did you mean 'missing.png'"),
        ("surplus.png", "line 1: found 'surplus.png'; allowed are two names"),
        ("surplus.png,missing.png\nlevel.png,missing.png", "names 'missing.png' of the expected folder twice"),
    ],
)
def test_a_list_that_cannot_hold_is_refused(text: str, words: str, folders: Path, run_harness: RunHarness) -> None:
    (folders / "pairs.csv").write_text(text, encoding="utf-8")
    ended = run_harness("diff", "mine", "goldens", "--pair-list", "pairs.csv", "--out", "o.jsonl")
    assert ended.code == 2, ended.out
    assert words in ended.err
    assert not (folders / "o.jsonl").exists()
