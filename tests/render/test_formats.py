from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from harness import plugins
from harness.records import EXIT_CODES, Report, Status, from_json
from harness.render import _labels as labels
from tests.render import sample_reports
from tests.render.readers import Page, markdown_tables, outside_fences, readable, rendered

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = plugins.names("render")
SAMPLES = list(sample_reports.BUILDERS)


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Report, Path]:
    return sample_reports.BUILDERS[request.param](tmp_path), tmp_path


# --- every format, every report --------------------------------------------------------------------------------------


def test_there_are_the_promised_formats() -> None:
    files = {name: plugins.load("render", name).FILE_NAME for name in FORMATS}
    assert files == {
        "csv": "metrics.csv",
        "html": "index.html",
        "json": "report.json",
        "junit": "junit.xml",
        "markdown": "report.md",
        "summary": "summary.md",
    }


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_report_gives_the_same_bytes(
    name: str, sample: tuple[Report, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    report, folder = sample
    first = rendered(name, report, folder).encode("utf-8")
    monkeypatch.setenv("HOME", "/somewhere/else")
    monkeypatch.setenv("API_TOKEN", "deterministic")
    again = from_json(Report, rendered("json", report, folder), place="report.json")
    assert rendered(name, again, folder).encode("utf-8") == first
    assert first.endswith(b"\n")


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_no_python_word_and_no_template_sign_leaks(name: str, sample: tuple[Report, Path]) -> None:
    shown = readable(name, rendered(name, *sample))
    assert not re.search(r"\b(None|nan|NaN|True|False|Undefined)\b", shown)
    assert "{{" not in shown
    assert "{%" not in shown
    assert "<harness" not in shown


def test_no_cell_of_the_page_is_empty(sample: tuple[Report, Path]) -> None:
    page = Page(rendered("html", *sample))
    assert page.rows
    assert all(cell.strip() for row in page.rows for cell in row)


def test_markdown_tables_are_rectangular_and_full(sample: tuple[Report, Path]) -> None:
    tables = markdown_tables(rendered("markdown", *sample))
    assert len(tables) >= 2
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
        assert all(cell for row in table for cell in row)


def test_markdown_and_page_say_the_same_in_their_tables(sample: tuple[Report, Path]) -> None:
    page = Page(rendered("html", *sample))
    assert len(page.rows) == sum(len(table) - 1 for table in markdown_tables(rendered("markdown", *sample)))


def test_the_page_fetches_nothing_and_runs_only_its_own_script(sample: tuple[Report, Path]) -> None:
    text = rendered("html", *sample)
    page = Page(text)
    assert not {"iframe", "object", "link", "form", "base"} & set(page.tags)
    assert page.tags.count("script") == 1
    script = text.split("<script>")[1].split("</script>")[0]
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policy.split("; ")[:2] == ["default-src 'none'", "img-src data:"]
    assert f"; script-src 'sha256-{digest}';" in policy
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/webp;base64,") for name, value in page.attributes if name == "src")
    assert all(value.startswith(("#", "../")) for name, value in page.attributes if name == "href")
    assert "url(" not in text
    assert ("lang", "en") in page.attributes


def test_json_reads_back_as_the_report(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    assert from_json(Report, rendered("json", report, folder), place="report.json") == report


# --- outcomes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("name", ["html", "markdown", "summary"])
def test_every_status_has_its_word_on_the_page(name: str, status: Status, tmp_path: Path) -> None:
    report = sample_reports.with_outcome(tmp_path, status)
    text = readable(name, rendered(name, report, tmp_path))
    assert labels.status_word(status) in text.lower() or status.value in text
    assert labels.SENTENCES[status] in text


def test_the_first_line_of_markdown_says_how_it_ended(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    first = rendered("markdown", report, folder).splitlines()[0]
    assert first.startswith(f"# {labels.status_word(report.outcome).upper()}: ")


# --- marks -----------------------------------------------------------------------------------------------------------

SIMULATED = "SIMULATED DEVICE: not evidence about real hardware"
STAND_IN = "CPU stand-in"


@pytest.mark.parametrize("name", ["html", "markdown"])
@pytest.mark.parametrize("builder", SAMPLES)
def test_simulated_devices_and_cpus_are_marked_and_nothing_else_is(name: str, builder: str, tmp_path: Path) -> None:
    text = readable(name, rendered(name, sample_reports.BUILDERS[builder](tmp_path), tmp_path))
    assert (SIMULATED in text) == (builder in {"simulated", "npu"})
    assert (STAND_IN in text) == (builder == "stand_in")


def test_a_simulated_side_of_a_comparison_is_marked_without_its_run(tmp_path: Path) -> None:
    report = sample_reports.simulated(tmp_path).model_copy(update={"runs": []})
    assert SIMULATED in rendered("markdown", report, tmp_path)


def test_an_unfinished_run_is_marked(tmp_path: Path) -> None:
    assert "UNFINISHED" in rendered("markdown", sample_reports.error(tmp_path), tmp_path)
    assert "UNFINISHED" not in rendered("markdown", sample_reports.identical(tmp_path), tmp_path)


# --- facts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_the_rows_of_the_note_are_there(name: str, tmp_path: Path) -> None:
    text = rendered(name, sample_reports.identical(tmp_path), tmp_path)
    rows = Page(text).rows if name == "html" else [row for table in markdown_tables(text) for row in table]
    found = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert found["MSE"] == ["0 pixel units²"] * 2
    assert found["Max pixel difference"] == ["0 pixel units"] * 2
    assert found["Mean pixel difference"] == ["0 pixel units"] * 2
    assert found["Identical"] == ["yes, in 2 cases and seeds"] * 2
    assert found["PSNR"] == ["∞ (identical)"] * 2
    assert found["Float decoder output identical"] == ["yes, in 2 cases and seeds"] * 2
    assert found["Runs of each case and seed"] == ["6"] * 2
    assert found["Fresh processes"] == ["2"] * 2
    exclusion = "6 identical runs exclude, at 95 % confidence, only a failure rate above 39 %"
    assert found["Failure rate, 95 % upper bound"] == [exclusion] * 2


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_two_outcomes_are_counted_and_placed(name: str, tmp_path: Path) -> None:
    text = readable(name, rendered(name, sample_reports.unstable(tmp_path), tmp_path))
    assert "2 (4 + 2) in glove, seed 42" in text
    assert "step 7 (glove, seed 42, p0r2 against p0r0)" in text
    assert "glove, seed 42: the last repeat of each process differs" in text
    assert "no, different in 1 of 2 cases and seeds" in text
    assert "glove, seed 42: excludes nothing: 2 of 6 runs differ from the most common outcome" in text


def test_the_worst_case_comes_first(tmp_path: Path) -> None:
    tables = markdown_tables(rendered("markdown", sample_reports.unstable(tmp_path), tmp_path))
    (cases,) = [table for table in tables if table[0][:3] == ["Case", "Seed", "Outcome"]]
    assert [row[0] for row in cases[2:]] == ["`glove`", "`pizza`"]
    assert cases[2][2] == "**UNSTABLE**"


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_what_cannot_be_compared_says_why(name: str, tmp_path: Path) -> None:
    text = readable(name, rendered(name, sample_reports.not_comparable(tmp_path), tmp_path))
    assert "NOT COMPARABLE" in text
    assert "noise: device against portable" in text
    assert "pizza, seed 7" in text
    assert "pizza, seed 9" in text
    assert "The accuracy of as-shipped against cpu-fp32: the two sides cannot be compared." in text


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_a_limit_shows_rule_reason_measurement_and_verdict(name: str, tmp_path: Path) -> None:
    text = rendered(name, sample_reports.drift(tmp_path), tmp_path)
    rows = Page(text).rows if name == "html" else [row for table in markdown_tables(text) for row in table]
    verdicts = {row[0].strip("`"): row[1:] for row in rows if len(row) == 5}
    verdict, value, place, kept = verdicts["ssim_tile_min at least 0.98"]
    assert "drift" in verdict.lower()
    assert (value, place, kept) == ("0.9312", "pizza, seed 42, p0r0 against p0r0", "1 of 2 pairs")
    reasons = {row[0].strip("`"): row[-1] for row in rows if len(row) == 3}
    assert reasons["psnr_db at least 40"] == "Calibrated from 20 runs, worst 43.1, margin 3 dB."


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "summary"])
def test_a_metric_without_a_value_says_why(name: str, tmp_path: Path) -> None:
    text = rendered(name, sample_reports.within_limits(tmp_path), tmp_path)
    expected = "the pictures have no apples" if name == "json" else "undefined: the pictures have no apples"
    assert expected in text


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_performance_counts_denoising_alone(name: str, tmp_path: Path) -> None:
    text = rendered(name, sample_reports.identical(tmp_path), tmp_path)
    rows = Page(text).rows if name == "html" else [row for table in markdown_tables(text) for row in table]
    found = {row[0]: row[1] for row in rows}
    assert found["Denoising steps per second (denoising alone)"] == f"{sample_reports.STEPS / 5.29:.3g}"
    assert found["Loading the model"] == "15.2 s"


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_what_is_not_shown_follows_from_the_records(name: str, tmp_path: Path) -> None:
    shown = {
        builder: readable(name, rendered(name, sample_reports.BUILDERS[builder](tmp_path / builder), tmp_path))
        for builder in ("identical", "drift", "stand_in", "skipped")
    }
    assert "no arm was compared with a reference" in shown["identical"]
    assert "no arm was compared with a reference" not in shown["drift"]
    assert "the model is builtin:tiny-deepgen" in shown["stand_in"]
    assert "the model is builtin:tiny-deepgen" not in shown["drift"]
    assert "one run repeats nothing" in shown["skipped"]
    assert "one run repeats nothing" not in shown["drift"]
    assert "failure rate of up to 39 % possible" in shown["drift"]


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_failures_are_shown_with_their_traceback(name: str, tmp_path: Path) -> None:
    text = readable(name, rendered(name, sample_reports.error(tmp_path), tmp_path))
    assert "OutOfMemoryError" in text
    assert "NPU out of memory. Tried to allocate 2.00 GiB" in text
    assert "Traceback (most recent call last):" in text
    assert "the worker was killed" in text


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "csv"])
def test_what_was_retried_is_shown(name: str, tmp_path: Path) -> None:
    assert "killed by signal 9 (SIGKILL)" in rendered(name, sample_reports.retried(tmp_path), tmp_path)


# --- hostile text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
@pytest.mark.parametrize("builder", ["hostile", "error"])
def test_secrets_homes_and_control_characters_are_taken_out(name: str, builder: str, tmp_path: Path) -> None:
    text = rendered(name, sample_reports.BUILDERS[builder](tmp_path), tmp_path)
    assert sample_reports.SECRET not in text
    assert "/home/ada" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_hostile_text_stays_text_on_the_page(tmp_path: Path) -> None:
    page = Page(rendered("html", sample_reports.hostile(tmp_path), tmp_path))
    assert page.tags.count("script") == 1, "the page's own"
    assert '<script>alert("x")</script> <img src=x onerror=alert(1)> | pipe `tick` [link](http://e.org)' in page.text
    assert "</td></table>--><!--" in page.text


def test_hostile_text_stays_text_in_markdown(tmp_path: Path) -> None:
    text = rendered("markdown", sample_reports.hostile(tmp_path), tmp_path)
    lines = outside_fences(text)
    assert not [line for line in lines if re.search(r"<(?!br>)", line)]
    assert sum(line.startswith("# ") for line in lines) == 1
    assert r"\[link\](http\://e.org)" in text
    # Nothing inside a listing may close it: the log's own fence is shorter than the one around it.
    assert "# not a heading" not in lines


def test_hostile_text_stays_text_in_junit(tmp_path: Path) -> None:
    root = junit(sample_reports.hostile(tmp_path), tmp_path)
    assert not root.findall(".//script")
    assert any("<script>" in (error.get("message") or "") for error in root.iter("error"))


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path) -> None:
    rows = table(sample_reports.hostile(tmp_path), tmp_path)
    assert {"'=unit()"} == {row["unit"] for row in rows if "unit()" in row["unit"]}
    numbers = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?")
    assert not [
        cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r") and not numbers.fullmatch(cell)
    ]


# --- CSV -------------------------------------------------------------------------------------------------------------


def table(report: Report, folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(rendered("csv", report, folder), newline="")))


def test_csv_holds_every_measurement_exactly(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    rows = table(report, folder)
    expected = [
        (pair.key.case, str(pair.key.seed), pair.actual, pair.expected, each.subject, each.metric, each.value)
        for comparison in report.comparisons
        for pair in comparison.pairs
        for each in pair.measurements
    ]
    columns = ("case", "seed", "actual", "expected", "subject", "metric")
    found = [
        (*(row[name] for name in columns), None if "undefined" in row["value"] else float(row["value"])) for row in rows
    ]
    assert found == expected


def test_csv_names_both_arms(tmp_path: Path) -> None:
    rows = table(sample_reports.drift(tmp_path), tmp_path)
    assert {(row["scope"], row["arm"], row["against"]) for row in rows} == {
        ("repeat", "candidate", "candidate"),
        ("repeat", "cpu-fp32", "cpu-fp32"),
        ("reference", "candidate", "cpu-fp32"),
    }


# --- JUnit -----------------------------------------------------------------------------------------------------------


def junit(report: Report, folder: Path) -> ET.Element:
    return ET.fromstring(rendered("junit", report, folder))  # written by the code under test


def test_junit_counts_what_it_holds(sample: tuple[Report, Path]) -> None:
    root = junit(*sample)
    for element in [root, *root.iter("testsuite")]:
        assert int(element.get("tests", "")) == len(list(element.iter("testcase")))
        for plural, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.get(plural, "")) == len(list(element.iter(name)))


Outcome = tuple[str, str | None, str] | None
"""Element of a test case, its type and its message; None where it passes."""


def junit_cases(root: ET.Element) -> list[tuple[str, str, Outcome]]:
    """Suite, name and outcome of every test case, in order; one that has two outcomes stands there twice."""
    return [
        (suite.attrib["name"], case.attrib["name"], outcome)
        for suite in root.iter("testsuite")
        for case in suite.iter("testcase")
        if case.get("classname") == suite.get("name")
        for outcome in outcomes(case)
    ]


def outcomes(case: ET.Element) -> list[Outcome]:
    elements = [element for element in case if element.tag != "properties"]
    return [(element.tag, element.get("type"), element.attrib["message"]) for element in elements] or [None]


JUNIT_OF_STATUS: dict[Status, Outcome] = {
    Status.IDENTICAL: None,
    Status.WITHIN_LIMITS: None,
    Status.WAIVED: None,
    Status.DRIFT: ("failure", "drift", "drift: All repeats are equal."),
    Status.UNSTABLE: ("failure", "unstable", "unstable: All repeats are equal."),
    Status.NOT_COMPARABLE: ("failure", "not_comparable", "not comparable: All repeats are equal."),
    Status.MISSING_BASELINE: ("failure", "missing_baseline", "missing baseline: All repeats are equal."),
    Status.ERROR: ("error", "error", "error: All repeats are equal."),
    Status.SKIPPED: ("skipped", None, "skipped: All repeats are equal."),
}


@pytest.mark.parametrize("status", list(Status))
def test_junit_of_every_status_has_exactly_these_cases(status: Status, tmp_path: Path) -> None:
    """Comparisons of equal repeats under another word: no case tells it, so the comparison as a whole does."""
    expected: list[tuple[str, str, Outcome]] = []
    for suite in ("deepgen-t2i.candidate.repeat", "deepgen-t2i.as-shipped.repeat"):
        expected += [(suite, "glove, seed 42", None), (suite, "pizza, seed 42", None)]
        expected += [(suite, "whole comparison", told)] if (told := JUNIT_OF_STATUS[status]) else []
    assert junit_cases(junit(sample_reports.with_outcome(tmp_path, status), tmp_path)) == expected


REPEAT, REFERENCE = "deepgen-t2i.candidate.repeat", "deepgen-t2i.candidate-against-cpu-fp32.reference"
SHIPPED = "deepgen-t2i.as-shipped-against-cpu-fp32.reference"
OTHER_NOISE = "not comparable: noise: device against portable; the digests of the noise differ in pizza, seed 42"
UNSTABLE = "unstable: 2 (4 + 2) distinct outcomes in 6 runs: the last repeat of each process differs; "
OUT_OF_MEMORY = "error: generate: OutOfMemoryError: NPU out of memory. Tried to allocate 2.00 GiB"
JUNIT_OF_SAMPLE: dict[str, list[tuple[str, str, Outcome]]] = {
    "unstable": [
        (REPEAT, "glove, seed 42", ("failure", "unstable", f"{UNSTABLE}identical equals 1, measured 0")),
        (REPEAT, "pizza, seed 42", None),
    ],
    "drift": [
        (REPEAT, "glove, seed 42", None),
        (REPEAT, "pizza, seed 42", None),
        ("deepgen-t2i.cpu-fp32.repeat", "glove, seed 42", None),
        ("deepgen-t2i.cpu-fp32.repeat", "pizza, seed 42", None),
        (REFERENCE, "glove, seed 42", None),
        (REFERENCE, "pizza, seed 42", ("failure", "drift", "drift: ssim_tile_min at least 0.98, measured 0.9312")),
    ],
    "within_limits": [(REFERENCE, "glove, seed 42", None), (REFERENCE, "pizza, seed 42", None)],
    "not_comparable": [
        (
            SHIPPED,
            "pizza, seed 7",
            ("failure", "not_comparable", f"{OTHER_NOISE}; the picture was expected and was not made"),
        ),
        (SHIPPED, "pizza, seed 9", ("failure", "not_comparable", OTHER_NOISE)),
    ],
    "error": [
        (REPEAT, "glove, seed 42", ("error", "error", OUT_OF_MEMORY)),
        (REPEAT, "pizza, seed 42", None),
        (REPEAT, "process, process 1, failure 2", ("error", "error", "error: SIGKILL: the worker was killed")),
    ],
    "nothing_loaded": [
        (
            REPEAT,
            "load, process 0, failure 1",
            ("error", "error", "error: ModelError: model_index.json is missing"),
        )
    ],
    "nothing_compared": [
        ("deepgen-t2i", "whole report", ("error", "error", "error: Something failed, so nothing is proven."))
    ],
    "skipped": [
        (REPEAT, "pizza, seed 42", ("skipped", None, "skipped: one run only: nothing was repeated")),
    ],
}


@pytest.mark.parametrize("builder", JUNIT_OF_SAMPLE)
def test_junit_of_a_sample_has_exactly_these_cases(builder: str, tmp_path: Path) -> None:
    assert junit_cases(junit(sample_reports.BUILDERS[builder](tmp_path), tmp_path)) == JUNIT_OF_SAMPLE[builder]


def test_junit_of_each_sample_fails_exactly_when_the_sample_does(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    root = junit(report, folder)
    bad = len(list(root.iter("failure"))) + len(list(root.iter("error"))) + len(list(root.iter("skipped")))
    assert (bad > 0) == (EXIT_CODES[report.outcome] != 0)


def test_junit_names_case_reason_and_numbers(tmp_path: Path) -> None:
    root = junit(sample_reports.unstable(tmp_path), tmp_path)
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert set(cases) == {"glove, seed 42", "pizza, seed 42"}
    case = cases["glove, seed 42"]
    assert case.get("classname") == "deepgen-t2i.candidate.repeat"
    failure = case.find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("unstable: 2 (4 + 2) distinct outcomes in 6 runs")
    numbers = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert numbers["distinct_outcomes"] == "2"
    assert numbers["worst.image.max_abs_diff"] == "9 pixel units"
    assert cases["pizza, seed 42"].find("failure") is None


SHAPE = {
    # element: (attributes it must have, attributes it may have, elements inside it)
    "testsuites": ({"name", "tests", "failures", "errors", "skipped"}, {"time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped"}, {"time"}, {"properties", "testcase"}),
    "testcase": ({"classname", "name"}, {"time"}, {"properties", "failure", "error", "skipped"}),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "failure": ({"message", "type"}, set(), set()),
    "error": ({"message", "type"}, set(), set()),
    "skipped": ({"message"}, set(), set()),
}
"""The elements that readers of JUnit XML agree on, as far as the report uses them."""


def shape_problems(element: ET.Element) -> list[str]:
    must, may, inside = SHAPE[element.tag]
    found = [f"{element.tag} lacks {name}" for name in must - set(element.attrib)]
    found += [f"{element.tag} has {name}" for name in set(element.attrib) - must - may]
    found += [f"{child.tag} in {element.tag}" for child in element if child.tag not in inside]
    found += [f"{each.tag} twice in a test case" for each in element if element.tag == "testcase" and len(element) > 2]
    if element.tag != "properties" and [child.tag for child in element].count("properties") > 1:
        found.append(f"two lists of properties in {element.tag}")
    return found + [each for child in element if child.tag in inside for each in shape_problems(child)]


def test_junit_has_the_common_shape_and_every_name_once(sample: tuple[Report, Path]) -> None:
    root = junit(*sample)
    assert root.tag == "testsuites"
    assert shape_problems(root) == []
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert names
    assert len(set(names)) == len(names)
    suites = [suite.get("name") for suite in root.iter("testsuite")]
    assert len(set(suites)) == len(suites)


def test_another_shape_of_junit_is_seen() -> None:
    text = '<testsuites name="a" tests="1"><testsuite><testcase name="b"><passed/></testcase></testsuite></testsuites>'
    found = shape_problems(ET.fromstring(text))
    assert {"testsuites lacks failures", "testcase lacks classname", "passed in testcase"} <= set(found)


def test_junit_has_a_test_case_for_each_case_seed_arm_and_scope(sample: tuple[Report, Path]) -> None:
    report, folder = sample
    names = {(case.get("classname"), case.get("name")) for case in junit(report, folder).iter("testcase")}
    for comparison in report.comparisons:
        arms = "-against-".join(dict.fromkeys((comparison.actual.arm, comparison.expected.arm)))
        keys = {pair.key for pair in comparison.pairs} | {each.key for each in comparison.repetitions}
        for key in keys:
            assert (f"{report.scenario.name}.{arms}.{comparison.scope}", str(key)) in names


def test_junit_gives_the_reason_of_a_pass_too(tmp_path: Path) -> None:
    for case in junit(sample_reports.within_limits(tmp_path), tmp_path).iter("testcase"):
        properties = {each.get("name"): each.get("value") for each in case.iter("property")}
        assert properties["status"] in {"identical", "within_limits"}
        assert properties["reason"]
        assert "\n" not in (properties["reason"] or "")


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_rendering_needs_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from harness import plugins; [plugins.load('render', name) for name in plugins.names('render')]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_json_is_strict(sample: tuple[Report, Path]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(rendered("json", *sample), parse_constant=refuse)


@pytest.mark.parametrize("name", ["html", "junit"])
def test_every_case_of_a_large_report_is_named(name: str, tmp_path: Path) -> None:
    text = rendered(name, sample_reports.many(tmp_path, 150), tmp_path)
    assert [case for case in range(150) if f"case-{case:04}" not in text] == []


def test_memory_at_the_end_of_a_stage_is_the_largest_that_was_seen(tmp_path: Path) -> None:
    text = plugins.load("render", "markdown").render(sample_reports.BUILDERS["identical"](tmp_path), folder=tmp_path)
    (row,) = [line for line in text.splitlines() if line.startswith("| Memory of the whole device after denoising")]
    assert "| 14 GiB |" in row
