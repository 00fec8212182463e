"""Every format tells which limits are waived and until when, what a ratio was made of, and what was noticed."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from harness.compare.gates import judge
from harness.records import Comparison, Evidence, Limit, Report, Scope, Status, Waiver, worst
from tests.render import sample_reports
from tests.render.readers import readable, rendered, rows

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("name", ["html", "markdown"])
TODAY = date(2026, 6, 15)
KNOWN = Waiver(
    metric="psnr_db",
    scope=Scope.REFERENCE,
    reason="The GELU is mended in the next release.",
    owner="Ann",
    expires=date(2026, 12, 31),
)
EVIDENCE = Evidence(
    date=date(2026, 1, 31),
    device="npu:Ascend910B3",
    samples=4,
    seeds=[1],
    cases=["pizza"],
    worst=100.0,
    rule="worst value and a margin",
    margin=5.0,
)
RATIO = Limit(
    metric="mse", scope=Scope.REFERENCE, arm="cpu-fp32", ratio_to="gpu", at_most=2, reason="Twice a GPU's error."
)
WIDE = Limit(metric="mse", scope=Scope.REFERENCE, at_most=105, reason="Only for this test.", evidence=EVIDENCE)


def judged(report: Report, limits: list[Limit], waivers: list[Waiver], **changes: object) -> Report:
    """The report judged again by other limits and waivers; ``changes`` are made to its comparisons with a reference."""
    comparisons = [
        judge(each.model_copy(update=changes) if each.scope is Scope.REFERENCE else each, limits, waivers, today=TODAY)
        for each in report.comparisons
    ]
    question = report.scenario.model_copy(update={"limits": limits, "waivers": waivers})
    outcome = worst([each.outcome for each in comparisons])
    return report.model_copy(update={"comparisons": comparisons, "scenario": question, "outcome": outcome})


def against_reference(report: Report) -> Comparison:
    return next(each for each in report.comparisons if each.scope is Scope.REFERENCE)


def yardstick(report: Report) -> Comparison:
    """The candidate's own comparison, said to be that of another arm with half the errors."""
    made = against_reference(report)
    pairs = [
        pair.model_copy(
            update={
                "measurements": [
                    each.model_copy(update={"value": None if each.value is None else each.value / 2})
                    for each in pair.measurements
                ]
            }
        )
        for pair in made.pairs
    ]
    return made.model_copy(
        update={"actual": made.actual.model_copy(update={"arm": "gpu"}), "pairs": pairs, "verdicts": []}
    )


@BOTH
def test_a_waived_limit_shows_its_number_reason_owner_and_last_day(name: str, tmp_path: Path) -> None:
    drift = sample_reports.drift(tmp_path)
    report = judged(drift, drift.scenario.limits, [KNOWN.model_copy(update={"metric": None})])
    assert report.outcome is Status.WAIVED
    text = rendered(name, report, tmp_path).replace("\\", "")
    assert "WAIVED" in readable(name, text).upper()
    found = [row for row in rows(name, text) if "Ann" in row]
    assert found
    assert found[0][3:6] == [KNOWN.reason, "Ann", "2026-12-31"]
    assert found[0][6].startswith("excuses ")
    assert any("Waived by Ann until 2026-12-31" in cell for row in rows(name, text) for cell in row)


@BOTH
def test_an_unused_and_an_expired_waiver_say_so(name: str, tmp_path: Path) -> None:
    idle = KNOWN.model_copy(update={"metric": "mse", "owner": "Bob"})
    late = KNOWN.model_copy(update={"expires": date(2026, 6, 14), "owner": "Eve"})
    drift = sample_reports.drift(tmp_path)
    report = judged(drift, drift.scenario.limits, [idle, late])
    assert report.outcome is Status.DRIFT
    text = rendered(name, report, tmp_path).replace("\\", "")
    states = {row[4]: row[6] for row in rows(name, text) if len(row) == 7 and row[4] in {"Bob", "Eve"}}
    assert states == {"Bob": "unused: no limit that it covers is broken", "Eve": "expired: excuses nothing"}
    assert "expired on 2026-06-14" in readable(name, text)


@BOTH
def test_without_waivers_nothing_is_waived(name: str, tmp_path: Path) -> None:
    text = readable(name, rendered(name, sample_reports.drift(tmp_path), tmp_path))
    assert "Limits and waivers" in text
    assert "No limit is waived." in text


@BOTH
def test_a_ratio_shows_numerator_denominator_floor_and_each_pair(name: str, tmp_path: Path) -> None:
    drift = sample_reports.drift(tmp_path)
    report = judged(drift, [RATIO], [], yardsticks=[yardstick(drift)])
    (verdict,) = against_reference(report).verdicts
    assert verdict.dual is not None
    assert verdict.dual.ratio == pytest.approx(2)
    text = rendered(name, report, tmp_path).replace("\\", "")
    columns = ["Case", "Seed", "Error of candidate", "Error of gpu", "Floor", "Ratio"]
    table = [row for row in rows(name, text) if len(row) == len(columns) and "---" not in row[0]]
    start = table.index(columns)
    assert [table[start + 1][0], table[start + 1][5]] == ["all", "2"]
    assert {row[0] for row in table[start + 2 : start + 2 + len(verdict.dual.pairs)]} == {
        pair.key.case for pair in verdict.dual.pairs
    }
    assert any(
        "dual_ratio to gpu of mse at most 2 (arm cpu-fp32)" in row[0] and row[4] == "1 of 1 ratio"
        for row in rows(name, text)
    )


@BOTH
def test_evidence_and_a_limit_that_is_too_wide_are_told(name: str, tmp_path: Path) -> None:
    report = judged(sample_reports.drift(tmp_path), [WIDE], [])
    text = readable(name, rendered(name, report, tmp_path).replace("\\", ""))
    assert "Measured on 2026-01-31 on npu:Ascend910B3: the worst of 4 values was 100; margin 5" in text
    assert "clearly better than when the limit was measured" in text


def test_the_table_for_spreadsheets_has_ratios_and_words(tmp_path: Path) -> None:
    drift = sample_reports.drift(tmp_path)
    limits = [RATIO, *drift.scenario.limits]
    excuse = KNOWN.model_copy(update={"metric": "ssim_tile_min"})
    report = judged(drift, limits, [excuse], yardsticks=[yardstick(drift)])
    found = list(csv.DictReader(io.StringIO(rendered("csv", report, tmp_path))))
    ratios = [row for row in found if row["metric"] == "dual_ratio"]
    dual = against_reference(report).verdicts[0].dual
    assert dual is not None
    assert [float(row["value"]) for row in ratios] == [dual.ratio, *(pair.ratio for pair in dual.pairs)]
    assert ratios[0]["verdict"] == "within_limits"
    assert ratios[0]["spec"].startswith("dual_ratio:mse:rms-over-pairs:over-gpu:floor-")
    assert "waived" in {row["verdict"] for row in found if row["metric"] == "ssim_tile_min"}
    assert {row["verdict"] for row in found if row["metric"] == "mse"} == {""}


def test_junit_passes_what_is_waived_and_says_so(tmp_path: Path) -> None:
    drift = sample_reports.drift(tmp_path)
    limits = [RATIO, WIDE, *drift.scenario.limits]
    report = judged(drift, limits, [KNOWN.model_copy(update={"metric": None})], yardsticks=[yardstick(drift)])
    root = ET.fromstring(rendered("junit", report, tmp_path).split("\n", 1)[1])
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    properties = {each.get("name"): each.get("value") or "" for each in root.iter("property")}
    assert "Waived by Ann until 2026-12-31" in properties["waived"]
    assert "dual_ratio 2" in properties["dual_ratio.image.mse"]
    assert "Calibrate again" in properties["notice"]


def test_junit_passes_repeats_that_differ_within_limits_or_are_waived(tmp_path: Path) -> None:
    unstable = sample_reports.unstable(tmp_path)
    assert int(ET.fromstring(rendered("junit", unstable, tmp_path).split("\n", 1)[1]).get("failures") or 0) > 0
    loose = Limit(metric="max_abs_diff", scope=Scope.REPEAT, at_most=255, reason="Only for this test.")
    strict = Limit(metric="max_abs_diff", scope=Scope.REPEAT, at_most=0, reason="Only for this test.")
    excuse = KNOWN.model_copy(update={"metric": None, "scope": Scope.REPEAT})
    for limits, waivers, status in (([loose], [], Status.WITHIN_LIMITS), ([strict], [excuse], Status.WAIVED)):
        report = judged(unstable, limits, waivers)
        repeats = [each.outcome for each in report.comparisons if each.scope is Scope.REPEAT]
        assert status in repeats
        assert Status.UNSTABLE not in repeats
        root = ET.fromstring(rendered("junit", report, tmp_path).split("\n", 1)[1])
        assert root.get("failures") == "0"
