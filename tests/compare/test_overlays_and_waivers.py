"""The limit that fits best judges, a waiver excuses a broken limit and nothing else, and neither hides a number."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.compare import gates
from harness.compare.comparator import compare_repeats, compare_runs
from harness.compare.gates import in_force
from harness.records import (
    EXIT_CODES,
    Comparison,
    Evidence,
    Limit,
    Scope,
    Status,
    Waiver,
    from_json,
    to_json,
    unused_waivers,
)
from tests.compare.stored_runs import (
    CAT,
    CUP,
    IDENTICAL_PICTURES,
    REASON,
    TODAY,
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


def against(metric: str = "max_abs_diff", **values: Any) -> Limit:
    return limit(metric, Scope.REFERENCE, **values)


def waiver(**values: Any) -> Waiver:
    given = {"scope": Scope.REFERENCE, "reason": REASON, "owner": "Ann", "expires": TODAY}
    return Waiver.model_validate(given | values)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The arm ``npu`` on an Ascend910B2 against ``cpu``, in two cases; one square is 9 levels brighter in both."""
    folder = tmp_path_factory.mktemp("runs")
    mine, theirs = (
        stored_run(folder / name, {CUP: processes(letters), CAT: processes(letters)})
        for name, letters in (("npu", "B"), ("cpu", "A"))
    )
    made = compare_runs(mine, theirs, limits=[], base=folder)
    side = made.actual.model_copy(update={"device": "npu:0", "device_name": "Ascend910B2", "backend": "npu"})
    return made.model_copy(update={"actual": side})


@pytest.fixture(scope="module")
def unrepeatable(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("runs")
    return compare_repeats(one_case(folder / "npu", "AAB AAB"), limits=[], base=folder)


# --- overlays --------------------------------------------------------------------------------------------------------

# From the least to the most specific; each would win over all before it.
ORDER: list[dict[str, Any]] = [
    {},
    {"device": "npu"},
    {"device": "npu:Ascend"},
    {"device": "NPU:ascend910b"},
    {"arm": "cpu"},
    {"arm": "cpu", "device": "npu"},
    {"arm": "cpu", "device": "npu:Ascend910B2"},
]


@pytest.mark.parametrize("count", range(1, len(ORDER) + 1))
def test_the_best_match_wins_wherever_it_stands(drifted: Comparison, count: int) -> None:
    limits = [against(at_most=number, **places) for number, places in enumerate(ORDER[:count])]
    assert in_force(limits, drifted) == [limits[-1]]
    assert in_force(limits[::-1], drifted) == [limits[-1]]


@pytest.mark.parametrize(
    "places",
    [
        {"device": "cuda"},
        {"device": "npu:Ascend910C"},
        {"device": "npu:Ascend910B2C"},
        {"device": "cpu:Ascend910B2"},
        {"arm": "npu"},
        {"arm": "gpu", "device": "npu"},
    ],
)
def test_a_limit_for_another_arm_or_device_judges_nothing(drifted: Comparison, places: dict[str, Any]) -> None:
    assert judge(drifted, [against(at_most=0, **places)]).outcome is Status.SKIPPED
    general = against(at_most=9)
    assert in_force([against(at_most=0, **places), general], drifted) == [general]


def test_an_overlay_of_one_metric_leaves_the_others_alone(drifted: Comparison) -> None:
    overlay = against(at_most=9, device="npu")
    other, latents = against("psnr_db", at_least=20), against("relative_l2", at_most=9, subject="latents")
    assert in_force([against(at_most=1), overlay, other, latents], drifted) == [overlay, other, latents]


def test_equally_good_matches_judge_together(drifted: Comparison) -> None:
    bounds = [against("signed_mean_diff", at_least=-1), against("signed_mean_diff", at_most=1)]
    assert in_force(bounds, drifted) == bounds


def test_a_limit_on_repeats_is_for_the_arm_that_is_repeated(unrepeatable: Comparison) -> None:
    loose, strict = limit("max_abs_diff", at_most=9, arm="npu"), limit("max_abs_diff", at_most=1)
    assert judge(unrepeatable, [strict, loose]).outcome is Status.WITHIN_LIMITS
    other = limit("max_abs_diff", at_most=9, arm="gpu")
    assert judge(unrepeatable, [strict, other]).outcome is Status.UNSTABLE


def test_the_message_says_which_overlay_was_used(drifted: Comparison) -> None:
    judged = judge(drifted, [against(at_most=4), against(at_most=8, arm="cpu", device="npu:Ascend910B")])
    assert judged.outcome is Status.DRIFT
    allowed = "allowed: max_abs_diff at most 8 pixel units (the limit for device npu:Ascend910B, arm cpu)."
    assert judged.pairs[0].verdicts[0].message.endswith(allowed)
    assert judged.message.endswith(allowed)


def test_judging_again_takes_the_same_overlay(drifted: Comparison) -> None:
    judged = judge(drifted, [against(at_most=4), against(at_most=9, device="npu")])
    assert judge(judged) == judged
    assert from_json(Comparison, to_json(judged), place="there") == judged


# --- waivers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "covers", [{}, {"metric": "max_abs_diff"}, {"arm": "npu"}, {"arm": "cpu"}, {"metric": "max_abs_diff", "arm": "npu"}]
)
def test_a_waiver_excuses_a_broken_limit_and_hides_no_number(drifted: Comparison, covers: dict[str, Any]) -> None:
    judged = judge(drifted, [against(at_most=8)], [waiver(**covers)])
    assert judged.outcome is Status.WAIVED
    assert EXIT_CODES[judged.outcome] == 0
    for pair in judged.pairs:
        (verdict,) = pair.verdicts
        assert (verdict.status, verdict.measured, verdict.waiver) == (Status.WAIVED, 9, waiver(**covers))
        assert "9 pixel units" in verdict.message
        assert verdict.message.endswith(f"Waived by Ann until 2026-06-15: {REASON}")
    assert judged.message.startswith("limits are broken and waived in 2 of 2 verdicts; cup, seed 42")


@pytest.mark.parametrize(
    "covers", [{"metric": "mse"}, {"arm": "gpu"}, {"scope": Scope.REPEAT}, {"case": "dog"}, {"case": "cup"}]
)
def test_a_waiver_for_something_else_excuses_nothing(drifted: Comparison, covers: dict[str, Any]) -> None:
    """The last one is for one of the two cases, and the other still breaks its limit."""
    judged = judge(drifted, [against(at_most=8)], [waiver(**covers)])
    assert judged.outcome is Status.DRIFT


def test_a_waiver_for_a_case_leaves_the_other_case_broken(drifted: Comparison) -> None:
    judged = judge(drifted, [against(at_most=8)], [waiver(case="cup")])
    assert {pair.key.case: pair.verdicts[0].status for pair in judged.pairs} == {
        "cup": Status.WAIVED,
        "cat": Status.DRIFT,
    }
    assert judged.message.startswith("limits are broken in 1 of 2 verdicts and 1 more waived; cat, seed 42")


def test_a_waiver_holds_on_its_last_day_and_no_longer(drifted: Comparison) -> None:
    limits, waivers = [against(at_most=8)], [waiver()]
    assert gates.judge(drifted, limits, waivers, today=TODAY).outcome is Status.WAIVED
    late = gates.judge(drifted, limits, waivers, today=TODAY + timedelta(days=1))
    assert late.outcome is Status.DRIFT
    assert late.message.endswith("A waiver by Ann expired on 2026-06-15.")
    assert late.notices == ["The waiver of every metric, reference by Ann expired on 2026-06-15."]
    assert late.pairs[0].verdicts[0].waiver is None


def test_the_waiver_that_ends_last_counts(drifted: Comparison) -> None:
    both = [waiver(expires=date(2020, 1, 1), owner="Eve"), waiver(expires=date(2030, 1, 1), owner="Bob")]
    judged = judge(drifted, [against(at_most=8)], both)
    assert judged.pairs[0].verdicts[0].waiver == both[1]


def test_a_waiver_excuses_repeats_that_break_a_limit(unrepeatable: Comparison) -> None:
    broken = [limit("max_abs_diff", at_most=1), limit("max_abs_diff", subject="latents", at_most=0)]
    judged = judge(unrepeatable, broken[:1], [waiver(scope=Scope.REPEAT)])
    assert judged.outcome is Status.WAIVED
    assert judge(unrepeatable, broken[:1]).outcome is Status.UNSTABLE


def test_repeats_that_no_limit_judges_cannot_be_waived(tmp_path: Path) -> None:
    stored = stored_run(tmp_path / "arm", {CUP: [[Made(), Made(float_image="B")]]})
    made = compare_repeats(stored, limits=[], base=tmp_path)
    assert judge(made, [IDENTICAL_PICTURES], [waiver(scope=Scope.REPEAT)]).outcome is Status.UNSTABLE
    assert judge(made, [], [waiver(scope=Scope.REPEAT)]).outcome is Status.UNSTABLE


def test_a_waiver_never_covers_what_is_no_broken_limit(drifted: Comparison, tmp_path: Path) -> None:
    limits, excuse = [against(at_most=8)], [waiver()]
    assert judge(drifted, [against("lpips", at_most=1)], excuse).outcome is Status.ERROR
    cpu = single(tmp_path / "cpu")
    noisy = compare_runs(single(tmp_path / "npu", Made(noise="another")), cpu, limits=[], base=tmp_path)
    assert judge(noisy, limits, excuse).outcome is Status.NOT_COMPARABLE
    crashed = compare_runs(single(tmp_path / "gpu", failures=[failure()]), cpu, limits=[], base=tmp_path)
    assert judge(crashed, limits, excuse).outcome is Status.ERROR
    empty = drifted.model_copy(update={"pairs": []})
    assert judge(empty, limits, excuse).outcome is Status.ERROR


def test_an_unused_waiver_is_found_and_a_used_or_expired_one_is_not(drifted: Comparison) -> None:
    used, idle, late = waiver(), waiver(metric="mse"), waiver(expires=date(2020, 1, 1))
    broken = judge(drifted, [against(at_most=8)], [used, idle, late])
    assert unused_waivers([broken]) == [idle]
    kept = judge(drifted, [against(at_most=9)], [used, idle, late])
    assert unused_waivers([kept]) == [used, idle]
    assert unused_waivers([kept, broken]) == [idle]
    assert unused_waivers([judge(drifted, [against(at_most=8)], [waiver(case="dog")])]) == []


def test_the_waivers_of_a_plan_travel_with_its_comparisons(tmp_path: Path) -> None:
    waivers = [waiver(), waiver(scope=Scope.REPEAT)]
    mine = single(tmp_path / "npu", Made(picture="B"), planned={"waivers": waivers})
    made = compare_runs(mine, single(tmp_path / "cpu"), limits=[against(at_most=8)], base=tmp_path)
    assert made.waivers == waivers[:1]
    assert judge(made).outcome is Status.WAIVED
    assert judge(made, None, []).outcome is Status.DRIFT
    assert compare_repeats(mine, limits=[], base=tmp_path).waivers == waivers[1:]


# --- far better than the limit ---------------------------------------------------------------------------------------


def evidence(worst: float, margin: float) -> Evidence:
    return Evidence(
        date=date(2026, 1, 31),
        device="npu:Ascend910B2",
        samples=4,
        seeds=[1],
        cases=["cup"],
        worst=worst,
        rule="worst and margin",
        margin=margin,
    )


@pytest.mark.parametrize(
    ("metric", "bound", "measured", "noticed"),
    [
        ("max_abs_diff", {"at_most": 40}, (30, 10), True),
        ("max_abs_diff", {"at_most": 30}, (19, 10), False),
        ("signed_mean_diff", {"at_most": 3}, (2, 1), True),
        ("psnr_db", {"at_least": 20}, (25, 5), True),
        ("psnr_db", {"at_least": 40}, (45, 5), False),
    ],
)
def test_values_far_better_than_the_evidence_are_noticed_and_judged_as_before(
    drifted: Comparison, metric: str, bound: dict[str, float], measured: tuple[float, float], *, noticed: bool
) -> None:
    bare = against(metric, **bound)
    judged = judge(drifted, [against(metric, evidence=evidence(*measured), **bound)])
    assert judged.outcome is judge(drifted, [bare]).outcome
    assert bool(judged.notices) is noticed
    for words in (
        ("clearly better than when the limit was measured", "2026-01-31", "Calibrate again") if noticed else ()
    ):
        assert words in judged.notices[0]


def test_one_value_that_is_not_far_better_is_enough_for_silence(tmp_path: Path) -> None:
    mine = stored_run(tmp_path / "npu", {CUP: processes("A"), CAT: processes("B")})
    theirs = stored_run(tmp_path / "cpu", {CUP: processes("A"), CAT: processes("A")})
    wanted = against(at_most=20, evidence=evidence(15, 5))
    made = compare_runs(mine, theirs, limits=[], base=tmp_path)
    assert {pair.identical for pair in made.pairs} == {True, False}
    assert judge(made, [against(at_most=20, evidence=evidence(15, 5.9))]).notices != []
    assert judge(made, [against(at_most=20, evidence=evidence(15, 6))]).notices == []
    assert judge(made.model_copy(update={"pairs": []}), [wanted]).notices == []
