"""Limits follow from floors by the stated rule, in each of its cases, and what cannot be a limit is refused."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest

from harness.calibrate.floors import floors, step_floors
from harness.calibrate.rule import Measured, lower_dtypes, proposed, too_near
from harness.calibrate.scale import error_of, limit_of, scale_of, value_of
from harness.contracts import Scale
from harness.errors import RunError
from harness.records import CaseKey, Evidence, FloorSource, Limit, Measurement, Pair, Scope

if TYPE_CHECKING:
    from harness.records import Floor

CUP, CAT = CaseKey(case="cup", seed=1), CaseKey(case="cat", seed=2)
METRICS: dict[tuple[str, str], tuple[str, Literal["higher", "lower"]]] = {
    ("psnr_db", "float_image"): ("dB", "higher"),
    ("relative_l2", "latents"): ("", "lower"),
    ("ssim_tile_min", "image"): ("", "higher"),
    ("signed_mean_diff", "conversion"): ("pixel units", "lower"),
}
SMALL = (120.0, 1e-6, 0.999999, 0.001)
"""What last bits in float32 do, in the order of METRICS."""


def pair(key: CaseKey, *values: float | None) -> Pair:
    measurements = [
        Measurement.model_validate(
            {"metric": metric, "subject": subject, "value": value, "unit": unit, "better": better, "spec": "1"}
        )
        for ((metric, subject), (unit, better)), value in zip(METRICS.items(), values, strict=True)
    ]
    return Pair(
        key=key, actual="p0r0", expected="p0r0", identical=False, first_differing_step=None, measurements=measurements
    )


def measured(reference: str = "float32", candidate: str = "float32", arm: str | None = None) -> Measured:
    return Measured(
        date=date(2026, 1, 2),
        device="cpu:Example",
        seeds=[1, 2],
        cases=["cup"],
        reference_dtype=reference,
        candidate_dtype=candidate,
        arm=arm,
    )


def limits(pairs: dict[FloorSource, list[Pair]], **circumstances: Any) -> dict[str, Limit]:
    found = proposed(floors(pairs), measured(**circumstances))
    return {f"{limit.metric} {'at_least' if limit.at_least is not None else 'at_most'}": limit for limit in found}


def floor_of(found: list[Floor], metric: str) -> Floor:
    return next(each for each in found if each.metric == metric)


# --- scale -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", get_args(Scale))
def test_values_and_errors_go_there_and_back_and_limits_are_never_stricter(scale: Scale) -> None:
    for error in (0.001, 0.0123, 0.3, 1.0):
        assert error_of(scale, value_of(scale, error)) == pytest.approx(error, rel=1e-9)
        assert error_of(scale, limit_of(scale, error)) >= error * (1 - 1e-9)
        assert error_of(scale, limit_of(scale, error)) < error * 1.2
    assert error_of(scale, value_of(scale, 0.0)) == 0


def test_a_percentage_that_grows_with_likeness_is_counted_by_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scale_of("psnr_db") == "decibel"
    monkeypatch.delattr("harness.metrics.psnr_db.SCALE")
    assert scale_of("psnr_db") is None
    assert not too_near(with_evidence(40, metric="psnr_db", at_least=39.9))
    assert floors({FloorSource.LATENT_ULP: [pair(CUP, *SMALL)]})
    assert "psnr_db" not in {each.metric for each in floors({FloorSource.LATENT_ULP: [pair(CUP, *SMALL)]})}


# --- floors ----------------------------------------------------------------------------------------------------------


def test_a_floor_is_the_rms_of_the_case_and_seed_where_it_is_largest_and_the_worst_of_all() -> None:
    values = [(CUP, 3e-6), (CUP, 4e-6), (CAT, 4.5e-6), (CAT, 0.0)]
    found = floors({FloorSource.LATENT_ULP: [pair(key, 120, value, 1, 0) for key, value in values]})
    floor = floor_of(found, "relative_l2")
    assert floor.rms == pytest.approx(math.sqrt((9 + 16) / 2) * 1e-6)
    assert (floor.worst, floor.key, floor.values, floor.least, floor.most) == (4.5e-6, CAT, 4, 0.0, 4.5e-6)
    assert {each.metric for each in found} == {metric for metric, _ in METRICS}


def test_a_metric_without_a_value_in_one_pair_has_no_floor_and_gives_no_limit() -> None:
    found = floors({FloorSource.LATENT_ULP: [pair(CUP, *SMALL), pair(CAT, None, *SMALL[1:])]})
    assert "psnr_db" not in {each.metric for each in found}
    with pytest.raises(RunError, match="psnr_db of image had no value"):
        proposed(found, measured())


def test_step_floors_are_the_largest_after_each_step() -> None:
    (found,) = step_floors({FloorSource.LATENT_ULP: [[1e-6, 2e-6], [3e-6, 1e-6]]})
    assert found.relative_l2 == [3e-6, 2e-6]


# --- the rule --------------------------------------------------------------------------------------------------------


def test_in_float32_a_limit_is_eight_times_the_rms_of_the_last_bits() -> None:
    found = limits({FloorSource.LATENT_ULP: [pair(CUP, *SMALL)], FloorSource.MODULE_ULP: [pair(CUP, 114, *SMALL[1:])]})
    assert found["psnr_db at_least"].at_least == math.floor((114 - 20 * math.log10(8)) * 10) / 10
    assert found["relative_l2 at_most"].at_most == 8e-6
    assert "module_ulp" in found["psnr_db at_least"].reason


def test_a_less_precise_candidate_may_be_twice_as_far_as_that_type_was_seen_to_be() -> None:
    pairs = {
        FloorSource.LATENT_ULP: [pair(CUP, *SMALL)],
        FloorSource.PRECISION: [pair(CUP, 40, 0.05, 0.99, 0.01), pair(CAT, 36, 0.06, 0.97, 0.01)],
    }
    found = limits(pairs, candidate="bfloat16")
    assert found["psnr_db at_least"].at_least == math.floor((36 - 20 * math.log10(2)) * 10) / 10
    assert found["relative_l2 at_most"].at_most == 0.12
    assert found["ssim_tile_min at_least"].at_least == 0.88
    assert "bfloat16 against float32" in found["psnr_db at_least"].reason


def test_last_bits_decide_where_they_do_more_than_the_precision() -> None:
    pairs = {FloorSource.LATENT_ULP: [pair(CUP, *SMALL)], FloorSource.PRECISION: [pair(CUP, 119, 3e-6, 1, 0)]}
    assert limits(pairs, candidate="bfloat16")["relative_l2 at_most"].at_most == 8e-6


def test_a_reference_in_a_half_type_gives_twice_its_worst() -> None:
    found = limits({FloorSource.LATENT_ULP: [pair(CUP, 34, 0.1, 0.97, 0), pair(CUP, 40, 0.05, 0.99, 0)]}, **BF16)
    assert found["psnr_db at_least"].at_least == math.floor((34 - 20 * math.log10(2)) * 10) / 10
    assert found["relative_l2 at_most"].at_most == 0.2


BF16 = {"reference": "bfloat16", "candidate": "bfloat16"}


def test_an_8_bit_picture_may_have_a_few_flips_however_equal_it_was_seen() -> None:
    found = limits({FloorSource.LATENT_ULP: [pair(CUP, 120, 1e-6, 1.0, 0.0)]})
    assert found["ssim_tile_min at_least"].at_least == 0.9982
    assert found["signed_mean_diff at_least"].at_least == -0.1
    assert found["signed_mean_diff at_most"].at_most == 0.1


def test_a_bias_is_bounded_on_the_side_it_does_not_have() -> None:
    found = limits({FloorSource.LATENT_ULP: [pair(CUP, 40, 0.05, 0.99, 0.4), pair(CAT, 40, 0.05, 0.99, -0.01)]})
    assert found["signed_mean_diff at_least"].at_least == -0.11
    assert found["signed_mean_diff at_most"].at_most == 0.5


def test_no_floor_no_limit() -> None:
    with pytest.raises(RunError, match="disturbing the last bits changed nothing"):
        limits({FloorSource.LATENT_ULP: [pair(CUP, math.inf, 0.0, 1.0, 0.0)]})


def test_a_limit_carries_what_it_was_taken_from() -> None:
    limit = limits({FloorSource.LATENT_ULP: [pair(CUP, *SMALL), pair(CAT, 117, *SMALL[1:])]}, arm="cpu")[
        "psnr_db at_least"
    ]
    assert limit.scope is Scope.REFERENCE
    assert (limit.arm, limit.subject) == ("cpu", "float_image")
    evidence = limit.evidence
    assert evidence is not None
    assert (evidence.samples, evidence.seeds, evidence.cases, evidence.worst) == (2, [1, 2], ["cup"], 117)
    assert (evidence.date, evidence.device) == (date(2026, 1, 2), "cpu:Example")
    assert limit.at_least is not None
    assert evidence.margin == pytest.approx(117 - limit.at_least)
    assert evidence.rule in limit.reason


def test_types_below_the_references_are_found() -> None:
    assert lower_dtypes("float32", ["float32"]) == []
    assert lower_dtypes("float16", ["bfloat16", "float32"]) == ["bfloat16"]


# --- limits that are too near to their evidence ----------------------------------------------------------------------


def with_evidence(worst: float, margin: float = 1, **bound: Any) -> Limit:
    evidence = Evidence(
        date=date(2026, 1, 2), device="cpu", samples=7, seeds=[1], cases=["cup"], worst=worst, rule="x", margin=margin
    )
    return Limit(scope=Scope.REFERENCE, reason="Only for this test.", evidence=evidence, **bound)


@pytest.mark.parametrize(
    ("limit", "near"),
    [
        (with_evidence(40, metric="psnr_db", at_least=37), True),
        (with_evidence(40, metric="psnr_db", at_least=36), False),
        (with_evidence(0.1, metric="relative_l2", at_most=0.14), True),
        (with_evidence(0.1, metric="relative_l2", at_most=0.16), False),
        (with_evidence(0.98, metric="ssim", at_least=0.96), True),
        (with_evidence(0.98, metric="ssim", at_least=0.95), False),
        (with_evidence(0.4, 0.05, metric="signed_mean_diff", at_most=0.45), True),
        (with_evidence(0.4, 0.1, metric="signed_mean_diff", at_most=0.5), False),
    ],
)
def test_a_limit_too_near_to_the_worst_that_was_seen_is_told(limit: Limit, *, near: bool) -> None:
    assert too_near(limit) is near


def test_limits_that_were_just_proposed_are_not_too_near() -> None:
    pairs = {
        FloorSource.LATENT_ULP: [pair(CUP, *SMALL)],
        FloorSource.PRECISION: [pair(CUP, 40, 0.05, 0.99, 0.4), pair(CAT, 36, 0.06, 0.97, 0.01)],
    }
    for limit in limits(pairs, candidate="bfloat16").values():
        assert not too_near(limit), limit.rule
