"""An error is judged by another arm's error against the same reference, and what cannot be divided never passes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.comparator import compare_runs
from harness.compare.dual import rounding_floor
from harness.records import Comparison, Limit, Scope, Status, from_json, to_json
from tests.compare.stored_runs import CAT, CUP, Made, failure, judge, limit, processes, stored_run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.compare.comparator import StoredRun

FACTORS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5)


def ratio(at_most: float = 2, metric: str = "max_abs_diff", **values: Any) -> Limit:
    return limit(metric, Scope.REFERENCE, arm="cpu", ratio_to="gpu", at_most=at_most, **values)


def cap(at_most: float) -> Limit:
    return limit("max_abs_diff", Scope.REFERENCE, arm="cpu", at_most=at_most)


def arm(folder: Path, name: str, cup: str, cat: str | None = None, **changes: Any) -> StoredRun:
    """An arm whose square in the picture is 9 levels brighter for each letter after A."""
    return stored_run(folder / name, {CUP: processes(cup), CAT: processes(cat or cup)}, **changes)


def compared(folder: Path, npu: str, gpu: str, **gpu_changes: Any) -> Comparison:
    """The arms ``npu`` and ``gpu`` against ``cpu``; two letters are those of the two cases."""
    mine, other, theirs = arm(folder, "npu", *npu), arm(folder, "gpu", *gpu, **gpu_changes), arm(folder, "cpu", "A")
    return compare_runs(mine, theirs, limits=[], base=folder, others=[other])


def test_a_candidate_ten_times_worse_breaks_the_ratio_although_it_keeps_the_cap(tmp_path: Path) -> None:
    judged = judge(compared(tmp_path, "K", "B"), [cap(200), ratio(2)])
    assert judged.outcome is Status.DRIFT
    (verdict,) = judged.verdicts
    assert verdict.status is Status.DRIFT
    assert verdict.measured == pytest.approx(10)
    assert verdict.dual is not None
    assert [verdict.dual.error, verdict.dual.other, verdict.dual.floor] == pytest.approx([90, 9, 0.5])
    assert verdict.message == (
        "npu 90 over gpu 9, both against cpu: dual_ratio 10, root mean square over 2 pairs, worst cup, seed 42 "
        "with 10; allowed: dual_ratio to gpu of max_abs_diff at most 2 (the limit for arm cpu)."
    )
    assert judged.message.startswith("limits are broken in 1 of 3 verdicts; npu 90 over gpu 9")


def test_a_candidate_as_near_as_the_other_arm_keeps_the_ratio(tmp_path: Path) -> None:
    judged = judge(compared(tmp_path, "C", "C"), [cap(20), ratio(1)])
    assert judged.outcome is Status.WITHIN_LIMITS
    assert judged.verdicts[0].measured == 1


def test_two_arms_that_are_equally_bad_are_caught_by_the_cap(tmp_path: Path) -> None:
    judged = judge(compared(tmp_path, "K", "K"), [cap(40), ratio(2)])
    assert judged.verdicts[0].status is Status.WITHIN_LIMITS
    assert judged.outcome is Status.DRIFT
    assert "allowed: max_abs_diff at most 40" in judged.message


def test_the_ratio_is_of_root_mean_squares_and_the_worst_pair_is_named(tmp_path: Path) -> None:
    judged = judge(compared(tmp_path, "BK", "CB"), [cap(200), ratio(20)])
    (verdict,) = judged.verdicts
    assert verdict.measured == pytest.approx(math.sqrt((9**2 + 90**2) / (18**2 + 9**2)))
    assert verdict.dual is not None
    assert [(each.key, each.ratio) for each in verdict.dual.pairs] == [(CAT, 10), (CUP, 0.5)]
    assert "worst cat, seed 42 with 10;" in verdict.message


def test_an_arm_equal_to_the_reference_is_replaced_by_the_floor(tmp_path: Path) -> None:
    made = compared(tmp_path, "B", "A")
    (verdict,) = judge(made, [cap(20), ratio(17)]).verdicts
    assert (verdict.status, verdict.measured) == (Status.DRIFT, 18)
    assert "npu 9 over gpu 0, taken as the floor 0.5, both against cpu" in verdict.message
    assert judge(made, [cap(20), ratio(18)]).outcome is Status.WITHIN_LIMITS


def test_equal_arms_are_identical(tmp_path: Path) -> None:
    judged = judge(compared(tmp_path, "A", "A"), [cap(0), ratio(1)])
    assert (judged.outcome, judged.verdicts[0].measured) == (Status.IDENTICAL, 0)


def test_an_arm_that_was_not_run_is_an_error(tmp_path: Path) -> None:
    made = compare_runs(arm(tmp_path, "npu", "B"), arm(tmp_path, "cpu", "A"), limits=[], base=tmp_path)
    judged = judge(made, [cap(20), ratio(9)])
    assert judged.outcome is Status.ERROR
    assert "gpu was not compared with cpu; run that arm in the same job" in judged.message


def test_an_arm_that_failed_is_an_error_and_so_is_one_that_lacks_a_case(tmp_path: Path) -> None:
    failed = judge(compared(tmp_path / "a", "B", "B", failures=[failure()]), [cap(20), ratio(9)])
    assert failed.outcome is Status.ERROR
    assert "gpu or its reference failed: RuntimeError: planted: out of memory" in failed.message
    lacking = stored_run(tmp_path / "b" / "gpu", {CUP: processes("B")})
    made = compare_runs(
        arm(tmp_path / "b", "npu", "B"), arm(tmp_path / "b", "cpu", "A"), limits=[], base=tmp_path, others=[lacking]
    )
    judged = judge(made, [cap(20), ratio(9)])
    assert judged.outcome is Status.ERROR
    assert "gpu lacks cat, seed 42" in judged.message


def test_an_arm_with_another_noise_or_other_steps_is_not_comparable(tmp_path: Path) -> None:
    npu, cpu = (stored_run(tmp_path / name, {CUP: [[Made(picture=one)]]}) for name, one in (("npu", "B"), ("cpu", "A")))
    noisy = stored_run(tmp_path / "gpu", {CUP: [[Made(picture="B", noise="another")]]})
    judged = judge(compare_runs(npu, cpu, limits=[], base=tmp_path, others=[noisy]), [cap(20), ratio(9)])
    assert judged.outcome is Status.NOT_COMPARABLE
    assert "gpu cannot be compared with cpu: cup, seed 42: the noise differs" in judged.message
    other = stored_run(tmp_path / "gpu", {CUP: [[Made(picture="B")]]}, planned={"steps": 4})
    judged = judge(compare_runs(npu, cpu, limits=[], base=tmp_path, others=[other]), [cap(20), ratio(9)])
    assert judged.outcome is Status.NOT_COMPARABLE
    assert "steps: actual 4, expected 3" in judged.message


def test_what_is_unknown_of_the_other_arm_is_said_beside_its_ratio(tmp_path: Path) -> None:
    made = compared(tmp_path, "B", "B")
    unsure = made.yardsticks[0].model_copy(update={"notes": ["noise unverified"]})
    made = made.model_copy(update={"yardsticks": [unsure]})
    assert judge(made, [cap(20), ratio(1)]).notices == ["gpu: noise unverified"]
    assert judge(made, [cap(20)]).notices == []


def test_a_value_that_is_missing_on_either_side_is_an_error(tmp_path: Path) -> None:
    made = compared(tmp_path, "B", "C")
    bare = [pair.model_copy(update={"measurements": []}) for pair in made.pairs]
    yardstick = made.yardsticks[0].model_copy(update={"pairs": bare})
    for broken, name in (
        (made.model_copy(update={"pairs": bare}), "npu"),
        (made.model_copy(update={"yardsticks": [yardstick]}), "gpu"),
    ):
        judged = judge(broken, [ratio()])
        assert judged.outcome is Status.ERROR
        assert f"max_abs_diff has no value for cup, seed 42 of {name}" in judged.message


def test_a_stored_comparison_is_judged_again_with_other_ratios(tmp_path: Path) -> None:
    stored = from_json(Comparison, to_json(judge(compared(tmp_path, "K", "B"), [cap(200), ratio(2)])), place="there")
    assert stored.verdicts[0].dual is not None
    assert judge(stored) == stored
    assert judge(stored, [cap(200), ratio(10.5, "max_abs_diff")]).outcome is Status.WITHIN_LIMITS
    (verdict,) = judge(stored, [ratio(99, "mse")]).verdicts
    assert verdict.status is Status.DRIFT
    assert verdict.measured == pytest.approx(100)


def test_a_ratio_judges_beside_an_absolute_limit_and_only_its_own_reference(tmp_path: Path) -> None:
    made = compared(tmp_path, "C", "B")
    judged = judge(made, [cap(20), ratio(2), limit("max_abs_diff", Scope.REFERENCE, at_most=1)])
    assert judged.limits == [cap(20), ratio(2)]
    elsewhere = made.model_copy(update={"expected": made.expected.model_copy(update={"arm": "other"})})
    assert judge(elsewhere, [ratio(2)]).verdicts == []


@pytest.mark.parametrize(
    ("subject", "dtype", "floor"),
    [
        ("image", "bfloat16", 0.25),
        ("float_image", "bfloat16", 2.0**-10),
        ("float_image", "float16", 2.0**-13),
        ("float_image", "float32", 2.0**-26),
        ("float_image", "unheard of", 2.0**-26),
    ],
)
def test_the_floor_is_that_of_levels_or_of_the_other_arms_type(subject: str, dtype: str, floor: float) -> None:
    assert rounding_floor(ratio(2, "mean_abs_diff", subject=subject), dtype) == floor


@given(mine=FACTORS, scale=st.floats(0.5, 20))
def test_the_ratio_grows_as_the_error_does(mine: list[float], scale: float) -> None:
    """Root mean squares are proportional to their values, whatever the values are."""
    from harness.compare.dual import _root_mean_square

    assert _root_mean_square([scale * each for each in mine]) == pytest.approx(scale * _root_mean_square(mine))
    assert min(mine) * (1 - 1e-12) <= _root_mean_square(mine) <= max(mine) * (1 + 1e-12)
