"""What may be said of two arms' scores, and what not, with scores written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.compare.comparator import compare_runs
from harness.compare.intervals import pairs_needed
from harness.compare.parity import parity_verdict, with_parities
from harness.compare.scores import score_run, total
from harness.records import ArmScores, CaseKey, EquivalenceVerdict, Limit, Scope, Score, Status, Task
from tests.command_line import PLANTED
from tests.compare.stored_runs import CUP, Made, judge, letter, processes, scenario, sha, stored_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.records import Comparison, Parity

SCORE = "shapes_prompt_score"
LIMIT = Limit(metric=SCORE, scope=Scope.REFERENCE, at_most=0.1, reason="Only for this test.")


def keys(count: int) -> list[CaseKey]:
    return [CaseKey(case=f"c{number}", seed=1) for number in range(count)]


def arm(name: str, values: Sequence[float | None], spec: str = "spec:1") -> ArmScores:
    scores = [
        Score(score=SCORE, key=key, image_digest=sha("A"), samples=["p0r0"], value=value)
        for key, value in zip(keys(len(values)), values, strict=True)
    ]
    return ArmScores(
        scenario="stored",
        arm=name,
        run=f"job/{name}",
        task=Task.TEXT_TO_IMAGE,
        parity_margin=0.1,
        specs={SCORE: spec},
        totals=[total(SCORE, scores)],
        scores=scores,
    )


def compared(
    folder: Path,
    mine: Sequence[float | None],
    theirs: Sequence[float | None],
    *,
    noise: str = "the same noise",
    spec: str = "spec:1",
) -> Comparison:
    made = {
        name: stored_run(folder / name, {key: [[Made(noise=words)]] for key in keys(len(mine))})
        for name, words in (("mine", noise), ("theirs", "the same noise"))
    }
    comparison = compare_runs(made["mine"], made["theirs"], limits=[LIMIT], base=folder)
    scores = (arm("mine", mine, spec), arm("theirs", theirs))
    return with_parities(comparison, {each.run: each for each in scores})


def only(comparison: Comparison) -> Parity:
    (parity,) = comparison.parities
    return parity


def test_pairs_are_matched_by_case_and_counted(tmp_path: Path) -> None:
    parity = only(compared(tmp_path, [1, 1, 1, 0, 0, 1], [1, 0, 1, 0, 1, 0]))
    assert (parity.pairs, parity.only_actual, parity.only_expected) == (6, 2, 1)
    assert parity.difference == pytest.approx(1 / 6)
    assert parity.actual.mean == pytest.approx(4 / 6)
    assert parity.expected.mean == pytest.approx(3 / 6)
    assert parity.standing is EquivalenceVerdict.NOT_SHOWN


def test_a_difference_that_is_certain_is_said_to_be_beyond_the_margin(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [0] * 12, [1] * 12)
    assert only(comparison).standing is EquivalenceVerdict.BEYOND
    assert (
        "not equivalent within 10 points, the difference is larger (90 % interval -100.00" in only(comparison).message
    )
    assert parity_verdict(comparison, LIMIT).status is Status.DRIFT


def test_another_noise_gets_no_statement(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [1] * 3, [1] * 3, noise="another noise")
    assert comparison.differences
    assert comparison.parities == []
    assert judge(comparison).outcome is Status.NOT_COMPARABLE


def test_another_definition_gets_no_statement_and_a_limit_on_it_is_an_error(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [1] * 3, [1] * 3, spec="spec:2")
    assert comparison.parities == []
    assert judge(comparison).outcome is Status.ERROR
    assert "was not scored on both sides" in judge(comparison).message


def test_a_picture_without_a_value_is_left_out_and_said(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [1] * 30 + [None], [1] * 30 + [None])
    assert (only(comparison).pairs, len(only(comparison).without_value)) == (30, 1)
    assert "30 pairs; 1 without a value left out)" in only(comparison).message
    assert parity_verdict(comparison, LIMIT).status is Status.WITHIN_LIMITS


def test_a_value_on_one_side_only_is_an_error_of_the_limit(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [1] * 30 + [None], [1] * 31)
    verdict = parity_verdict(comparison, LIMIT)
    assert verdict.status is Status.ERROR
    assert "one side alone has a value for c30, seed 1" in verdict.message


def test_no_value_at_all_is_an_error_of_the_limit_and_never_a_pass(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [None, None], [None, None])
    assert only(comparison).message.endswith("equivalence not shown (no pair has a value; 2 without a value left out)")
    assert judge(comparison).outcome is Status.ERROR


def test_values_between_0_and_1_get_an_interval_of_their_difference(tmp_path: Path) -> None:
    few = only(compared(tmp_path, [0.5, 1], [0.25, 1]))
    assert (few.difference, few.standing) == (0.125, EquivalenceVerdict.NOT_SHOWN)
    assert (few.actual.low, few.actual.high) == (None, None), "a mean of values between is no share"
    values = [0.1 * (number % 10) for number in range(100)]
    alike = compared(tmp_path, values, [min(1, value + 0.01) for value in values])
    assert only(alike).difference == pytest.approx(-0.01)
    assert only(alike).standing is EquivalenceVerdict.EQUIVALENT
    assert parity_verdict(alike, LIMIT).status is Status.WITHIN_LIMITS


def test_a_fall_of_values_between_0_and_1_is_no_equivalence(tmp_path: Path) -> None:
    values = [0.1 * (number % 10) for number in range(100)]
    fallen = compared(tmp_path, [max(0, value - 0.2) for value in values], values)
    assert only(fallen).standing is EquivalenceVerdict.BEYOND
    assert parity_verdict(fallen, LIMIT).status is Status.DRIFT


def test_scores_that_scatter_are_told_how_many_pairs_would_show_it(tmp_path: Path) -> None:
    high, low = [0.9, 0.1] * 10, [0.1, 0.9] * 10
    parity = only(compared(tmp_path, high, low))
    assert parity.standing is EquivalenceVerdict.NOT_SHOWN
    assert parity.mean_square == pytest.approx(0.64)
    assert parity.pairs_needed == pairs_needed(0.64, 0.1)
    assert f"about {parity.pairs_needed} pairs are needed" in parity.message


def test_without_a_limit_parity_is_stated_and_not_judged(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [0] * 12, [1] * 12).model_copy(update={"limits": []})
    assert judge(comparison).outcome is Status.IDENTICAL
    assert judge(comparison).parities == comparison.parities


def test_arms_that_differ_after_enough_pairs_are_not_told_to_make_more(tmp_path: Path) -> None:
    comparison = compared(tmp_path, [0] * 16 + [1] * 144, [1] * 160)
    assert only(comparison).standing is EquivalenceVerdict.NOT_SHOWN
    assert "160 pairs; enough pairs to show it, had the two been alike)" in only(comparison).message


# --- scoring ---------------------------------------------------------------------------------------------------------


def test_equal_pictures_are_scored_once_and_the_first_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PLANTED))
    stored = stored_run(tmp_path / "arm", {CUP: processes("AAB AAC")})
    scores = score_run(stored, scenario(scores=["planted-degrees"]), {})
    assert [each.samples for each in scores.scores] == [["p0r0", "p0r1", "p1r0", "p1r1"], ["p0r2"], ["p1r2"]]
    (summed,) = scores.totals
    assert (summed.pictures, summed.mean) == (1, scores.scores[0].value)


def test_a_value_that_is_no_share_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLANTED))
    stored = stored_run(tmp_path / "arm", {CUP: [[letter("A")]]})
    (score,) = score_run(stored, scenario(scores=["planted-generous"]), {}).scores
    assert score.value is None
    assert score.problem == "planted-generous gave 1.5; allowed is a number from 0 to 1."


def test_a_prompt_outside_the_small_world_has_no_score(tmp_path: Path) -> None:
    stored = stored_run(tmp_path / "arm", {CUP: [[letter("A")]]})
    scores = score_run(stored, scenario(scores=[SCORE]), {})
    assert scores.scores[0].value is None
    assert scores.totals[0].words == "no picture has a value, 1 without a value"
