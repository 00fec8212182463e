"""The report of a release in every format: its tables are the records', and what is text stays text."""

from __future__ import annotations

import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from harness import plugins
from harness.compare.aggregates import aggregates
from harness.language import spoken
from harness.records import EXIT_CODES, Acceptance, MissingCell, Release, ReleasedJob, Scope, Status, worst
from harness.render._format import number
from harness.render._labels import NONE
from tests.release_jobs import named
from tests.render import sample_reports
from tests.render.readers import Page, markdown_tables, outside_fences
from tests.render.test_languages import digests, foreign, judged_and_scored, left_in_english, other_numbers, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.records import Report

FOR_PEOPLE = ["html", "markdown"]
MISSING_REASON = "no job answers this <script>alert(1)</script> | `scenario`"
BUILDERS = {
    "drift": sample_reports.drift,
    "error": sample_reports.error,
    "hostile": sample_reports.hostile,
    "identical": sample_reports.identical,
    "not-comparable": sample_reports.not_comparable,
    "scored": judged_and_scored,
    "simulated": sample_reports.simulated,
    "unstable": sample_reports.unstable,
    "within": sample_reports.within_limits,
}


def release_of(
    folder: Path, builders: Mapping[str, Callable[[Path], Report]] = BUILDERS
) -> tuple[Release, dict[str, Path]]:
    """A release with one job of each kind, and one scenario that was never run."""
    folders = {job: folder / job for job in (f"20260101T000000Z_{name}" for name in builders)}
    reports = []
    for job, (name, build) in zip(folders, builders.items(), strict=True):
        folders[job].mkdir()
        reports.append(ReleasedJob(job=job, report=named(build(folders[job]), name, job)))
    never = reports[0].report.scenario.model_copy(update={"name": "never"})
    missing = [
        MissingCell(scenario="never", arm=arm.name, status=Status.ERROR, reason=MISSING_REASON) for arm in never.arms
    ]
    return Release(
        name="r1",
        languages=["en", "zh"],
        command=["harness", "release", "r1"],
        scenarios=[*(each.report.scenario for each in reports), never],
        jobs=reports,
        missing=missing,
        aggregates=aggregates(each.report for each in reports),
        outcome=worst([*(each.report.outcome for each in reports), Status.ERROR]),
    ), folders


@cache
def reading() -> tuple[Release, dict[tuple[str, str], str]]:
    with TemporaryDirectory() as place:
        release, folders = release_of(Path(place))
        texts = {}
        for code in ("en", "zh"):
            with spoken(code):
                for name in ("html", "markdown", "csv", "junit", "json"):
                    renderer: Any = plugins.load("render", name)
                    texts[code, name] = renderer.render_release(release, folders=folders)
        return release, texts


@pytest.fixture
def release() -> Release:
    return reading()[0]


@pytest.fixture
def texts() -> dict[tuple[str, str], str]:
    return reading()[1]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["en", "zh"])
@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_no_cell_is_empty_and_no_template_shows(texts: dict[tuple[str, str], str], code: str, form: str) -> None:
    assert holes(tables(texts[code, form], form)) == []


@pytest.mark.parametrize("cell", ["", "  ", "{count} runs", "{{ name }}", "None", "nan"])
def test_a_hole_is_found(cell: str) -> None:
    assert holes([["Measure", "1"], [cell, "2"]]) == [cell]


def holes(rows: list[list[str]]) -> list[str]:
    return [
        cell
        for row in rows
        for cell in row
        if not cell.strip() or re.search(r"(?<!\$)\{+ ?\w+ ?\}+", cell) or cell in {"None", "nan"}
    ]


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_every_number_of_every_table_is_in_a_record(
    release: Release, texts: dict[tuple[str, str], str], form: str
) -> None:
    rows = tables(texts["en", form], form)
    assert sum(len(precise(cell)) for row in rows for cell in row) > 50
    assert without_record(rows, known(release)) == []


def test_a_number_without_a_record_is_found(release: Release, texts: dict[tuple[str, str], str]) -> None:
    rows = tables(texts["en", "markdown"].replace("| 40.06 dB", "| 40.07 dB", 1), "markdown")
    assert without_record(rows, known(release)) == ["40.07"]


def precise(cell: str) -> list[str]:
    """Numbers of a cell of numbers with so many digits that they are nobody's round figure."""
    if not cell[:1].isdigit():
        return []
    return [each for each in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", cell) if len(each) >= len("40.06")]


def known(release: Release) -> set[str]:
    """Every number of the records, as reports write numbers."""
    found: set[str] = set()
    stack: list[object] = [release.model_dump(mode="python")]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
        elif isinstance(value, float):
            found.add(number(abs(value)))
    return found


def without_record(rows: list[list[str]], numbers: set[str]) -> list[str]:
    return [each for row in rows for cell in row for each in precise(cell) if each not in numbers]


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_the_matrix_has_a_cell_for_every_arm_of_every_scenario(
    release: Release, texts: dict[tuple[str, str], str], form: str
) -> None:
    first = next(iter(matrices(texts["en", form], form)))
    arms = list(dict.fromkeys(arm.name for each in release.scenarios for arm in each.arms))
    assert first[0] == ["Scenario", *arms, "Job"]
    assert [row[0].strip("`") for row in first[1:]] == [each.name for each in release.scenarios]
    for row, scenario in zip(first[1:], release.scenarios, strict=True):
        own = {arm.name for arm in scenario.arms}
        for name, cell in zip(arms, row[1:-1], strict=True):
            assert (cell == NONE) == (name not in own)
            if scenario.name == "never" and name in own:
                assert "MISSING" in cell
                assert "alert(1)" in cell


def matrices(text: str, form: str) -> Iterator[list[list[str]]]:
    """Tables of a text."""
    if form == "markdown":
        yield from ([row for row in each if set(row[0]) != {":", "-"}] for each in markdown_tables(text))
        return
    rows = Page(text).rows
    width = len(rows[0])
    yield [rows[0], *(row for row in rows[1 : 1 + len(BUILDERS) + 1] if len(row) == width)]


def test_a_cell_says_the_word_of_its_comparisons(release: Release, texts: dict[tuple[str, str], str]) -> None:
    rows = next(matrices(texts["en", "markdown"], "markdown"))
    for row, job in zip(rows[1:], release.jobs, strict=False):
        for name, cell in zip(rows[0][1:-1], row[1:-1], strict=True):
            mine = [each.outcome for each in job.report.comparisons if each.actual.arm == name]
            if mine:
                outcome = worst(mine)
                shown = outcome.value.replace("_", " ")
                assert cell.startswith(f"**{shown.upper()}**" if EXIT_CODES[outcome] else shown)


def test_capabilities_are_the_aggregates_cell_by_cell(release: Release, texts: dict[tuple[str, str], str]) -> None:
    found = [
        row
        for table in markdown_tables(texts["en", "markdown"])
        if table[0] == ["Measure", "Cases and seeds", "Mean", "Worst", "Where"]
        for row in table[2:]
    ]
    of_pictures = [each for each in release.aggregates if each.subject == "image"]
    assert len(found) == len(of_pictures)
    shown = sorted(row[2].partition(" ")[0] for row in found if row[2][0].isdigit())
    assert shown == sorted(number(each.mean) for each in of_pictures if each.mean is not None)
    page = [row for row in Page(texts["en", "html"]).rows if len(row) == len(found[0])]
    for each in release.aggregates:
        place = f"{each.worst_scenario}, {each.worst_key}"
        value = "undefined" if each.worst is None else f"{number(each.worst)} {each.unit}".strip()
        assert any(row[3:] == [value, place] for row in page), (value, place)
        assert each not in of_pictures or any(row[3:] == [value, place] for row in found), (value, place)


def section(text: str, title: str) -> str:
    """A part of a Markdown text, up to the next heading of any level."""
    return re.split(r"\n#+ ", text.partition(f"{title}\n")[2])[0]


def test_a_gpu_that_nobody_asked_for_is_not_missing_and_one_that_was_is(
    release: Release, texts: dict[tuple[str, str], str]
) -> None:
    text = texts["en", "markdown"]
    assert section(text, "4.3 Against a GPU baseline").strip().startswith("No scenario of this release asks for a GPU")
    never = release.scenarios[-1]
    cuda = [arm.model_copy(update={"device": "cuda"}) for arm in never.arms]
    asked = release.model_copy(update={"scenarios": [*release.scenarios[:-1], never.model_copy(update={"arms": cuda})]})
    found = section(rendered_release("markdown", asked), "4.3 Against a GPU baseline")
    assert found.split() == ["-", "MISSING:", "never,", "candidate", "-", "MISSING:", "never,", "cpu-fp32"]


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_scores_of_each_arm_and_what_they_say_about_two_are_in_the_release(
    release: Release, texts: dict[tuple[str, str], str], form: str
) -> None:
    (job,) = (each for each in release.jobs if each.report.scores)
    text = texts["en", form]
    shown = Page(text).text if form == "html" else text.replace("\\", "")
    stated = [each.message for found in job.report.comparisons for each in found.parities]
    assert stated
    for message in stated:
        assert " ".join(message.split()) in " ".join(shown.split())
    assert shown.count("Two arms are equivalent where the 90 % interval") == 1
    without = release.model_copy(update={"jobs": [each for each in release.jobs if each is not job]})
    assert "Scores of pictures" not in rendered_release("markdown", without)


def test_who_accepted_a_baseline_and_why_is_said_beside_its_arm(release: Release) -> None:
    acceptance = Acceptance(who="Tester", why="Looked at every picture.", accepted_utc="2026-01-02T03:04:05+00:00")
    job = next(each for each in release.jobs if any(found.expected.arm for found in each.report.comparisons))
    comparisons = [
        each.model_copy(update={"expected": each.expected.model_copy(update={"acceptance": acceptance})})
        for each in job.report.comparisons
    ]
    changed = job.model_copy(update={"report": job.report.model_copy(update={"comparisons": comparisons})})
    asked = release.model_copy(update={"jobs": [changed if each is job else each for each in release.jobs]})
    row = "| Tester | 2026-01-02T03:04:05+00:00 | Looked at every picture. |"
    assert row in rendered_release("markdown", asked)
    assert "Accepted by" not in rendered_release("markdown", release)


def test_a_warning_that_is_known_to_be_harmless_is_named_with_its_run(release: Release) -> None:
    title = "Warnings that are known to be harmless"
    job = release.jobs[0]
    line = "Warning: The /toolkit/set_env.sh owner does not match the current owner."
    run = job.report.runs[0].model_copy(update={"log_tail": line})
    report = job.report.model_copy(update={"runs": [run, *job.report.runs[1:]]})
    warned = release.model_copy(update={"jobs": [job.model_copy(update={"report": report})]})
    assert f"| `{run.id}` | `owner does not match` |" in section(rendered_release("markdown", warned), title)
    assert section(rendered_release("markdown", release), title).strip() == "None found in the logs."


def rendered_release(form: str, release: Release) -> str:
    renderer: Any = plugins.load("render", form)
    return str(renderer.render_release(release, folders={}))


# --- the page --------------------------------------------------------------------------------------------------------


def test_cells_lead_to_cases_of_the_page_and_ids_are_unique(texts: dict[tuple[str, str], str]) -> None:
    page = Page(texts["en", "html"])
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")}
    assert targets <= set(ids)
    assert any(target.startswith("job-") for target in targets)


def test_every_case_of_every_job_is_on_the_page(release: Release, texts: dict[tuple[str, str], str]) -> None:
    keys = sum(len({sample.key for run in job.report.runs for sample in run.samples}) for job in release.jobs)
    assert len(re.findall('<(?:article|details) class="case"', texts["en", "html"])) == keys


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_marks_that_no_one_can_overlook_come_first(texts: dict[tuple[str, str], str], form: str) -> None:
    text = texts["en", form]
    assert "SIMULATED DEVICE" in text
    assert text.index("SIMULATED DEVICE") < text.index("What was validated")


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_languages_lead_to_each_other(texts: dict[tuple[str, str], str], form: str) -> None:
    plain, other = ("index.html", "index.zh.html") if form == "html" else ("report.md", "report.zh.md")
    template = '<a href="{}">{}</a>' if form == "html" else "[{1}]({0})"
    assert template.format(other, "中文") in texts["en", form]
    assert template.format(plain, "English") in texts["zh", form]


@pytest.mark.parametrize("code", ["en", "zh"])
def test_scripts_and_pipes_stay_text(texts: dict[tuple[str, str], str], code: str) -> None:
    page = Page(texts[code, "html"])
    assert page.tags.count("script") == 1
    assert "<script>alert(1)</script>" in page.text
    assert not any("<script" in line for line in outside_fences(texts[code, "markdown"]))
    for table in markdown_tables(texts[code, "markdown"]):
        assert len({len(row) for row in table}) == 1, table[0]
    assert len(texts[code, "markdown"].encode()) < 60_000


def test_nothing_is_fetched(texts: dict[tuple[str, str], str]) -> None:
    page = Page(texts["en", "html"])
    sources = [value for name, value in page.attributes if name in {"src", "srcset", "data", "action"}]
    assert sources
    assert all(each.startswith("data:") for each in sources)


# --- languages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_the_chinese_report_has_no_english_sentence_and_the_same_numbers(
    release: Release, texts: dict[tuple[str, str], str], form: str
) -> None:
    allowed = [text for job in release.jobs for text in foreign(job.report, "zh")]
    assert (
        left_in_english(texts["zh", form], form, allowed=[*allowed, "no job answers this script alert script scenario"])
        == []
    )
    assert other_numbers(tables(texts["en", form], form), tables(texts["zh", form], form)) == []


def test_both_pages_have_the_same_digests(texts: dict[tuple[str, str], str]) -> None:
    english, chinese = (Page(texts[code, "html"]) for code in ("en", "zh"))
    assert [*digests(english)] == [*digests(chinese)]
    assert english.tags == chinese.tags


# --- machines --------------------------------------------------------------------------------------------------------


def test_every_measurement_is_a_row_with_its_job(release: Release, texts: dict[tuple[str, str], str]) -> None:
    rows = list(csv.DictReader(io.StringIO(texts["en", "csv"])))
    wanted = sum(
        len(pair.measurements) for job in release.jobs for each in job.report.comparisons for pair in each.pairs
    )
    assert sum(row["job"] != "" and row["metric"] != "dual_ratio" for row in rows) == wanted
    assert [row["verdict"] for row in rows if not row["job"]] == ["missing"] * len(release.missing)


def test_junit_fails_exactly_where_the_release_does(release: Release, texts: dict[tuple[str, str], str]) -> None:
    root = ET.fromstring(texts["en", "junit"])  # written by ourselves
    missing = root.findall("testsuite[@name='missing']/testcase/error")
    assert [each.get("message", "").partition(": ")[0] for each in missing] == ["error"] * len(release.missing)
    bad = {
        each.get("name", "").partition(".")[0]
        for each in root
        if int(each.get("failures", 0)) + int(each.get("errors", 0))
    }
    failing = {job.job for job in release.jobs if EXIT_CODES[job.report.outcome] not in {0, 5}}
    assert failing <= bad


def test_json_is_the_record(release: Release, texts: dict[tuple[str, str], str]) -> None:
    assert Release.model_validate(json.loads(texts["en", "json"])) == release
    assert any(each.scope is Scope.REFERENCE for job in release.jobs for each in job.report.comparisons)
