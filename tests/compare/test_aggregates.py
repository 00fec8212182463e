"""Means, their intervals and worst values over all cases and seeds of a capability."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import pytest

from harness.compare.aggregates import aggregates
from harness.compare.intervals import mean_interval
from harness.records import Aggregate, Report, Task
from tests.render import sample_reports

if TYPE_CHECKING:
    from pathlib import Path


def of(found: list[Aggregate], metric: str) -> Aggregate:
    return next(each for each in found if (each.metric, each.subject) == (metric, "image"))


def values(report: Report, metric: str) -> list[float | None]:
    return [
        each.value
        for comparison in report.comparisons
        if comparison.scope == "reference"
        for pair in comparison.pairs
        for each in pair.measurements
        if (each.metric, each.subject) == (metric, "image")
    ]


@pytest.mark.parametrize(
    ("count", "quantile"), [(2, 12.7062), (3, 4.30265), (4, 3.18245), (5, 2.77645), (11, 2.22814), (31, 2.04227)]
)
def test_the_interval_of_a_mean_is_students(count: int, quantile: float) -> None:
    """Quantiles as printed tables of Student's distribution have them."""
    numbers = [math.sin(index) for index in range(count)]
    mean, reach = mean_interval(numbers)
    wanted = quantile * statistics.stdev(numbers) / math.sqrt(count)
    assert mean == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert reach == pytest.approx(wanted, rel=3e-6)


def test_one_value_has_no_interval() -> None:
    assert mean_interval([3.0]) == (3.0, None)


def test_means_are_over_cases_and_seeds_and_the_worst_is_named(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    mse = of(aggregates([report]), "mse")
    measured = [value for value in values(report, "mse") if value is not None]
    assert (mse.mean, mse.reach) == mean_interval(measured)
    assert mse.worst == max(measured) > 0
    assert (mse.worst_scenario, mse.worst_key) == (report.scenario.name, sample_reports.PIZZA)
    assert (mse.keys, mse.left_out, mse.pairs) == (2, 0, 2)


def test_equal_pictures_have_no_finite_psnr_and_are_counted(tmp_path: Path) -> None:
    psnr = of(aggregates([sample_reports.drift(tmp_path)]), "psnr_db")
    assert (psnr.keys, psnr.left_out) == (1, 1)
    assert psnr.mean == psnr.worst
    assert psnr.reach is None


def test_a_pair_without_a_value_is_the_worst(tmp_path: Path) -> None:
    found = of(aggregates([sample_reports.within_limits(tmp_path)]), "new_metric")
    assert (found.mean, found.worst, found.left_out) == (None, None, 2)


def test_repeats_of_a_case_and_seed_are_no_new_pictures(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    twice = report.model_copy(
        update={
            "comparisons": [
                each.model_copy(update={"pairs": [*each.pairs, each.pairs[0]]}) for each in report.comparisons
            ]
        }
    )
    once, again = of(aggregates([report]), "mse"), of(aggregates([twice]), "mse")
    assert (again.pairs, again.keys, again.mean, again.reach) == (3, 2, once.mean, once.reach)


def test_arms_on_other_devices_and_other_capabilities_are_apart_and_the_worst_comes_first(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    edits = report.scenario.model_copy(update={"task": Task.IMAGE_EDITING})
    other = report.model_copy(update={"scenario": edits})
    better = [
        each.model_copy(
            update={"pairs": each.pairs[1:], "actual": each.actual.model_copy(update={"device_name": "another"})}
        )
        for each in report.comparisons
    ]
    found = aggregates([other, report.model_copy(update={"comparisons": better}), report])
    groups = list(dict.fromkeys((each.task, each.device) for each in found))
    product = report.comparisons[-1].actual.device_name
    assert groups == [
        (Task.TEXT_TO_IMAGE, product),
        (Task.TEXT_TO_IMAGE, "another"),
        (Task.IMAGE_EDITING, product),
    ]


def test_repeats_and_what_cannot_be_compared_give_no_number(tmp_path: Path) -> None:
    assert aggregates([sample_reports.identical(tmp_path), sample_reports.not_comparable(tmp_path)]) == []
