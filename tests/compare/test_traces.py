"""Tensors on the way are compared by their sketches: equal bytes, and how far apart where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.traces import trace_differences
from harness.records import Step
from tests.compare.stored_runs import sha

SIZE = 4096
SIGNS = np.where(np.random.default_rng(0).random((16, SIZE)) < 0.5, -1.0, 1.0)


class Traced:
    """What the comparison reads of a sample."""

    def __init__(self, **traces: list[np.ndarray[Any, Any]]) -> None:
        self.traces = {name: [step(values) for values in calls] for name, calls in traces.items()}


def step(values: np.ndarray[Any, Any]) -> Step:
    flat = values.reshape(-1)
    with np.errstate(all="ignore"):
        projections = SIGNS[:, : flat.size] @ flat / np.sqrt(flat.size)
        sketch = [float(each) for each in (np.linalg.norm(flat), flat.mean(), flat.min(), flat.max(), *projections)]
    return Step(digest=sha(repr(values.tobytes())), sketch=sketch, shape=list(values.shape))


def differences(actual: Any, expected: Any) -> list[Any]:
    return trace_differences(actual, expected)


VALUES = np.random.default_rng(1).normal(size=(64, 64))


def test_equal_bytes_are_identical_and_nothing_apart() -> None:
    (found,) = differences(Traced(rows=[VALUES, VALUES]), Traced(rows=[VALUES, VALUES]))
    assert (found.name, found.identical, found.relative_difference) == ("rows", True, 0)


@pytest.mark.parametrize("relative", [1e-6, 1e-2, 1.0])
def test_the_estimate_is_near_the_true_relative_difference(relative: float) -> None:
    other = np.random.default_rng(2).normal(size=VALUES.shape)
    other *= relative * np.linalg.norm(VALUES) / np.linalg.norm(other)
    (found,) = differences(Traced(rows=[VALUES + other, VALUES]), Traced(rows=[VALUES, VALUES]))
    assert not found.identical
    assert found.relative_difference == pytest.approx(relative / np.sqrt(2), rel=0.5), "one of two equal calls differs"


def test_a_difference_in_the_last_call_is_seen() -> None:
    changed = VALUES.copy()
    changed[-1, -1] += 1e-3
    (found,) = differences(Traced(rows=[VALUES, changed]), Traced(rows=[VALUES, VALUES]))
    assert not found.identical
    assert found.relative_difference > 0


@pytest.mark.parametrize("calls", [[VALUES], [VALUES, VALUES[:32]]])
def test_another_number_of_calls_or_another_shape_has_no_relative_difference(calls: list[Any]) -> None:
    (found,) = differences(Traced(rows=calls), Traced(rows=[VALUES, VALUES]))
    assert (found.identical, found.relative_difference) == (False, None)


@pytest.mark.parametrize("worst", [np.nan, np.inf, 1e200])
def test_values_without_a_finite_norm_have_no_relative_difference_and_raise_nothing(worst: float) -> None:
    broken = VALUES.copy()
    broken[0, 0] = worst
    (found,) = differences(Traced(rows=[broken]), Traced(rows=[VALUES]))
    assert (found.identical, found.relative_difference) == (False, None)


def test_zeros_have_no_relative_difference() -> None:
    (found,) = differences(Traced(rows=[VALUES]), Traced(rows=[np.zeros_like(VALUES)]))
    assert (found.identical, found.relative_difference) == (False, None)


def test_only_what_both_sides_traced_is_compared_in_the_order_of_the_expected_side() -> None:
    mine, theirs = Traced(b=[VALUES], a=[VALUES], mine=[VALUES]), Traced(a=[VALUES], theirs=[VALUES], b=[VALUES])
    assert [found.name for found in differences(mine, theirs)] == ["a", "b"]
