"""A limit is kept or broken, is never vague about it, and nothing that could not be measured passes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.compare.comparator import compare_repeats, compare_runs
from harness.compare.gates import holds, keeps
from harness.records import EXIT_CODES, Limit, Measurement, Pair, Scope, Status
from tests.compare.stored_runs import (
    CAT,
    CUP,
    IDENTICAL_PICTURES,
    REASON,
    Made,
    failure,
    judge,
    limit,
    one_case,
    processes,
    single,
    stored_run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Comparison

FAILED = {Scope.REPEAT: Status.UNSTABLE, Scope.REFERENCE: Status.DRIFT}
NUMBERS = st.floats(allow_nan=False)


def of_repeats(folder: Path, pattern: str) -> Comparison:
    return compare_repeats(one_case(folder / "arm", pattern), limits=[], base=folder)


def of_runs(folder: Path, actual: str, expected: str) -> Comparison:
    mine, theirs = one_case(folder / "npu", actual), one_case(folder / "cpu", expected)
    return compare_runs(mine, theirs, limits=[], base=folder)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """One square of 16 of 1024 pixels is 9 levels brighter than the reference."""
    return of_runs(tmp_path_factory.mktemp("runs"), "B", "A")


@pytest.fixture(scope="module")
def unrepeatable(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return of_repeats(tmp_path_factory.mktemp("runs"), "AAB AAB")


def against(metric: str, **bound: Any) -> Limit:
    return limit(metric, Scope.REFERENCE, **bound)


def measuring(comparison: Comparison, value: float | None, problem: str = "") -> Comparison:
    """The comparison with one measurement of ``mse``, as a stored file may hold it."""
    measurement = Measurement(
        metric="mse", subject="image", value=value, unit="", better="lower", spec="mse:1", problem=problem
    )
    pairs = [pair.model_copy(update={"measurements": [measurement]}) for pair in comparison.pairs]
    return comparison.model_copy(update={"pairs": pairs})


# --- a sign ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "bound", "kept"),
    [
        (-0.3, {"at_most": 0.2}, False),
        (0.3, {"at_most": 0.2}, False),
        (-0.3, {"at_most": 0.4}, True),
        (-0.3, {"at_least": -0.2}, False),
        (0.3, {"at_least": -0.2}, True),
    ],
)
def test_the_size_of_a_distance_is_judged_and_by_at_least_its_sign(
    value: float, bound: dict[str, float], *, kept: bool
) -> None:
    shift = Measurement(
        metric="signed_mean_diff", subject="image", value=value, unit="", better="lower", spec="signed_mean_diff:1"
    )
    assert keeps(shift, against("signed_mean_diff", **bound)) is kept


# --- bounds ----------------------------------------------------------------------------------------------------------


# Bound, a value that keeps it at its very edge, and the nearest ones that break it.
EDGES: dict[str, tuple[dict[str, float], float, list[float]]] = {
    "at_least": ({"at_least": 40.0}, 40.0, [math.nextafter(40.0, 0.0), -math.inf]),
    "at_most": ({"at_most": 9.0}, 9.0, [math.nextafter(9.0, 10.0), math.inf]),
    "equals": ({"equals": 1.0}, 1.0, [math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0), math.inf]),
    "infinity": ({"equals": math.inf}, math.inf, [1e308, -math.inf]),
}


@pytest.mark.parametrize("edge", EDGES)
def test_a_limit_is_kept_at_its_edge_and_broken_beyond(edge: str) -> None:
    bound, kept, broken = EDGES[edge]
    assert holds(against("mse", **bound), kept)
    assert [value for value in broken if holds(against("mse", **bound), value)] == []


@pytest.mark.parametrize(
    "bound", [{"at_least": -math.inf}, {"at_most": math.inf}, {"equals": math.nan}, {"equals": 0.0}]
)
def test_nan_keeps_no_limit(bound: dict[str, float]) -> None:
    assert not holds(against("mse", **bound), math.nan)


@pytest.mark.parametrize("bounds", [{}, {"at_least": 0.0, "at_most": 2.0}])
def test_a_limit_has_exactly_one_bound(bounds: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="exactly one of at_least, at_most and equals"):
        against("mse", **bounds)


@pytest.mark.parametrize("word", ["at_least", "at_most", "equals"])
def test_a_bound_of_nan_is_kept_by_nothing(word: str) -> None:
    assert not any(holds(against("mse", **{word: math.nan}), value) for value in (0.0, math.inf, -math.inf, math.nan))


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_looser_limit_never_fails_where_a_stricter_one_passes(one: float, other: float, value: float) -> None:
    low, high = min(one, other), max(one, other)
    assert holds(against("mse", at_least=low), value) or not holds(against("mse", at_least=high), value)
    assert holds(against("mse", at_most=high), value) or not holds(against("mse", at_most=low), value)


@given(one=st.floats(0, 100), other=st.floats(0, 100))
def test_a_looser_limit_never_worsens_the_exit_code(drifted: Comparison, one: float, other: float) -> None:
    strict, loose = (
        EXIT_CODES[judge(drifted, [against("psnr_db", at_least=bound)]).outcome]
        for bound in (max(one, other), min(one, other))
    )
    assert {strict, loose} <= {0, 1}
    assert loose <= strict


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_a_verdict_tells_observed_allowed_and_where(drifted: Comparison) -> None:
    wanted = against("max_abs_diff", at_most=8)
    (pair,) = judge(drifted, [wanted]).pairs
    (verdict,) = pair.verdicts
    assert verdict.status is Status.DRIFT
    assert verdict.measured == 9
    assert verdict.message == (
        "cup, seed 42, p0r0 against p0r0: 9 pixel units at x=8 y=4 channel=r; "
        "allowed: max_abs_diff at most 8 pixel units."
    )


def test_a_broken_limit_reaches_the_message_of_the_comparison(drifted: Comparison) -> None:
    kept, broken = against("max_abs_diff", at_most=9), against("max_abs_diff", at_most=8)
    judged = judge(drifted, [kept, broken])
    assert judged.outcome is Status.DRIFT
    assert judged.message.startswith("limits are broken in 1 of 2 verdicts; cup, seed 42")
    assert "9 pixel units at x=8 y=4 channel=r; allowed: max_abs_diff at most 8" in judged.message


def test_sentences_of_a_message_are_joined_without_full_stops_between_them(drifted: Comparison) -> None:
    wanted = [against("max_abs_diff", at_most=8)]
    alone = judge(drifted, wanted).message
    assert alone.endswith("at most 8 pixel units."), "a planted full stop"
    noted = judge(drifted.model_copy(update={"notes": ["noise unverified.", "another torch."]}), wanted).message
    assert noted == f"{alone.removesuffix('.')}; noise unverified; another torch."


def test_kept_limits_of_different_bytes_are_within_limits_not_identical(drifted: Comparison) -> None:
    judged = judge(drifted, [against("max_abs_diff", at_most=9), against("psnr_db", at_least=40)])
    assert [verdict.status for pair in judged.pairs for verdict in pair.verdicts] == [Status.WITHIN_LIMITS] * 2
    assert judged.outcome is Status.WITHIN_LIMITS


def test_a_limit_on_the_float_output_judges_the_float_output(drifted: Comparison) -> None:
    kept = against("max_abs_diff", at_most=0.01, subject="float_image")
    assert judge(drifted, [kept]).outcome is Status.WITHIN_LIMITS
    judged = judge(drifted, [against("max_abs_diff", at_most=0.0005, subject="float_image")])
    assert judged.outcome is Status.DRIFT
    assert "allowed: max_abs_diff of the float output at most 0.0005" in judged.message


@pytest.mark.parametrize("value", [math.nan, None])
def test_a_value_that_is_no_number_never_passes(drifted: Comparison, value: float | None) -> None:
    for bound in ({"at_least": -math.inf}, {"at_most": math.inf}):
        assert EXIT_CODES[judge(measuring(drifted, value), [against("mse", **bound)]).outcome] != 0


def test_a_metric_without_a_value_is_an_error_with_its_reason(drifted: Comparison) -> None:
    judged = judge(measuring(drifted, None, "a side is shorter than the window"), [against("mse", at_most=1e9)])
    assert judged.outcome is Status.ERROR
    assert (
        "mse has no value for cup, seed 42: a side is shorter than the window; allowed: mse at most" in judged.message
    )


def test_a_metric_that_was_not_measured_is_an_error(drifted: Comparison) -> None:
    judged = judge(drifted, [against("lpips", at_most=0.1), against("max_abs_diff", at_most=255)])
    assert judged.outcome is Status.ERROR
    assert "lpips has no value for cup, seed 42: it was not measured" in judged.message


def test_an_error_is_told_before_a_broken_limit(drifted: Comparison) -> None:
    judged = judge(drifted, [against("max_abs_diff", at_most=8), against("lpips", at_most=0.1)])
    assert judged.outcome is Status.ERROR
    assert "limits are broken in 2 of 2 verdicts; lpips has no value" in judged.message


@pytest.mark.parametrize("scope", list(Scope))
def test_equal_bytes_do_not_excuse_a_limit_that_has_nothing_to_judge(scope: Scope, tmp_path: Path) -> None:
    made = of_repeats(tmp_path, "AAA") if scope is Scope.REPEAT else of_runs(tmp_path, "A", "A")
    assert judge(made).outcome is Status.IDENTICAL
    judged = judge(made, [limit("lpips", scope, at_most=0.1)])
    assert judged.outcome is Status.ERROR
    assert "lpips has no value" in judged.message


@pytest.mark.parametrize("scope", list(Scope))
def test_a_broken_limit_bears_the_word_of_its_scope(
    scope: Scope, drifted: Comparison, unrepeatable: Comparison
) -> None:
    made = unrepeatable if scope is Scope.REPEAT else drifted
    judged = judge(made, [limit("identical", scope, equals=1)])
    assert judged.pairs[0].verdicts[0].status is FAILED[scope]
    assert judged.outcome is FAILED[scope]


def test_limits_of_the_other_scope_judge_nothing(drifted: Comparison) -> None:
    judged = judge(drifted, [IDENTICAL_PICTURES])
    assert judged.limits == []
    assert judged.pairs[0].verdicts == []
    assert judged.outcome is Status.SKIPPED


def test_judging_again_replaces_the_old_verdicts(drifted: Comparison) -> None:
    first = judge(drifted, [against("max_abs_diff", at_most=8)])
    second = judge(first, [against("max_abs_diff", at_most=10)])
    assert (first.outcome, second.outcome) == (Status.DRIFT, Status.WITHIN_LIMITS)
    assert second.limits == [against("max_abs_diff", at_most=10)]
    assert len(second.pairs[0].verdicts) == 1
    assert judge(first) == first


# --- repeats ---------------------------------------------------------------------------------------------------------


def test_repeats_that_differ_are_unstable_without_any_limit(unrepeatable: Comparison) -> None:
    judged = judge(unrepeatable, [])
    assert judged.outcome is Status.UNSTABLE
    assert judged.message.startswith("1 of 1 cases are not repeatable; cup, seed 42: 2 outcomes")


def test_repeats_may_differ_within_a_limit_and_it_is_said(unrepeatable: Comparison) -> None:
    judged = judge(unrepeatable, [limit("max_abs_diff", at_most=9)])
    assert judged.outcome is Status.WITHIN_LIMITS
    assert judged.message.startswith("not bit-identical, within the limits: cup, seed 42")


def test_a_limit_on_what_is_equal_does_not_excuse_what_differs(tmp_path: Path) -> None:
    stored = stored_run(tmp_path / "arm", {CUP: [[Made(), Made(float_image="B")]]})
    made = compare_repeats(stored, limits=[], base=tmp_path)
    blind = judge(made, [IDENTICAL_PICTURES])
    assert blind.outcome is Status.UNSTABLE
    assert blind.message.endswith("although the 8-bit pictures are the same; no limit judges what differs")
    seeing = judge(made, [IDENTICAL_PICTURES, limit("max_abs_diff", at_most=0.01, subject="float_image")])
    assert seeing.outcome is Status.WITHIN_LIMITS
    broken = judge(made, [limit("max_abs_diff", at_most=0.0001, subject="float_image")])
    assert broken.outcome is Status.UNSTABLE


def test_one_excused_case_does_not_excuse_another(tmp_path: Path) -> None:
    made = {CUP: processes("AAB"), CAT: [[Made(), Made(latents="B")]]}
    comparison = compare_repeats(stored_run(tmp_path / "arm", made), limits=[], base=tmp_path)
    assert judge(comparison, [limit("max_abs_diff", at_most=9)]).outcome is Status.UNSTABLE


def test_a_metric_without_a_value_makes_unstable_repeats_an_error(unrepeatable: Comparison) -> None:
    assert judge(unrepeatable, [limit("lpips", at_most=1)]).outcome is Status.ERROR


def test_a_case_made_once_is_not_counted_against_the_repeated_ones(tmp_path: Path) -> None:
    made = {CUP: processes("AAA"), CAT: processes("A")}
    judged = judge(compare_repeats(stored_run(tmp_path / "arm", made), limits=[], base=tmp_path))
    assert judged.outcome is Status.IDENTICAL
    assert "1 or 3 runs" in judged.message
    assert "above 95 %" in judged.message


# --- what decides ----------------------------------------------------------------------------------------------------


def test_a_failure_decides_before_anything_else(tmp_path: Path) -> None:
    actual = single(tmp_path / "npu", Made(noise="another"), failures=[failure()])
    judged = judge(compare_runs(actual, single(tmp_path / "cpu", keys=[CUP, CAT]), limits=[], base=tmp_path))
    assert judged.outcome is Status.ERROR
    assert judged.message.startswith("generate failed")


def test_missing_cases_decide_before_other_inputs(tmp_path: Path) -> None:
    actual = single(tmp_path / "npu", Made(noise="another"))
    judged = judge(compare_runs(actual, single(tmp_path / "cpu", keys=[CUP, CAT]), limits=[], base=tmp_path))
    assert judged.outcome is Status.ERROR
    assert "missing cat" in judged.message


def test_no_pairs_are_an_error_never_a_pass(drifted: Comparison) -> None:
    judged = judge(drifted.model_copy(update={"pairs": []}), [against("mse", at_most=1e9)])
    assert judged.outcome is Status.ERROR
    assert judged.message == "there was nothing to compare"


def test_a_pair_that_claims_to_be_identical_is_still_judged_by_its_numbers(drifted: Comparison) -> None:
    forged: list[Pair] = [pair.model_copy(update={"identical": True}) for pair in drifted.pairs]
    judged = judge(drifted.model_copy(update={"pairs": forged}), [against("identical", equals=1)])
    assert judged.outcome is Status.DRIFT


def test_the_reason_of_a_limit_travels_with_its_verdict(drifted: Comparison) -> None:
    judged = judge(drifted, [against("mse", at_most=0)])
    assert judged.pairs[0].verdicts[0].limit.reason == REASON
