"""The four answers of a report: each word has a report that gives it, and one that must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.answers import Answer, Answered, Question, answers, room
from harness.language import spoken, translated
from harness.records import Limit, MissingCell, Role, Scope, Status, Verdict
from tests.render import sample_reports, test_limits_table

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Comparison, Report


def of(report: Report, question: Question, missing: list[MissingCell] | None = None) -> Answer:
    (answer,) = (line for line in answers([report], missing or []) if line.question is question)
    return answer


def whole(folder: Path) -> Report:
    """Equal repeats, and pairs within limits, of a model of a hub on a card."""
    (folder / "repeats").mkdir(parents=True)
    repeats = sample_reports.identical(folder / "repeats")
    report = sample_reports.within_limits(folder)
    return report.model_copy(update={"comparisons": [*repeats.comparisons, *references(report)]})


def embedded(report: Report) -> Report:
    """The same with a model that was made for testing."""
    model = report.scenario.model.model_copy(update={"source": "builtin:tiny-deepgen"})
    return report.model_copy(update={"scenario": report.scenario.model_copy(update={"model": model})})


def changed(report: Report, scope: Scope, **fields: object) -> Report:
    """The same with other fields of its comparisons of a scope."""
    comparisons = [
        comparison.model_copy(update=fields) if comparison.scope is scope else comparison
        for comparison in report.comparisons
    ]
    return report.model_copy(update={"comparisons": comparisons})


def references(report: Report) -> list[Comparison]:
    return [comparison for comparison in report.comparisons if comparison.scope is Scope.REFERENCE]


def test_what_ran_names_model_device_and_type(tmp_path: Path) -> None:
    answer = of(sample_reports.within_limits(tmp_path), Question.WHAT)
    assert answer.answered is None
    assert "npu:0 (Ascend910B3) in bfloat16" in answer.reason
    assert "SIMULATED" not in answer.reason
    assert "SIMULATED" in of(sample_reports.simulated(tmp_path), Question.WHAT).reason


@pytest.mark.parametrize(
    ("builder", "answered", "words"),
    [
        ("identical", Answered.YES, "equal runs of each at least"),
        ("unstable", Answered.NO, "have more than one outcome, at worst"),
        ("nothing_compared", Answered.NOT_SHOWN, "no repeats were compared"),
    ],
)
def test_whether_it_is_deterministic(builder: str, answered: Answered, words: str, tmp_path: Path) -> None:
    answer = of(sample_reports.BUILDERS[builder](tmp_path), Question.DETERMINISTIC)
    assert (answer.answered, words in answer.reason) == (answered, True), answer.reason


def test_one_run_of_an_image_shows_nothing_about_repeats(tmp_path: Path) -> None:
    report = sample_reports.identical(tmp_path)
    assert of(report, Question.DETERMINISTIC).answered is Answered.YES
    alone = [
        repetition.model_copy(update={"runs": 1}) if number == 0 else repetition
        for comparison in report.comparisons
        for number, repetition in enumerate(comparison.repetitions)
    ]
    answer = of(changed(report, Scope.REPEAT, repetitions=alone), Question.DETERMINISTIC)
    assert answer.answered is Answered.NOT_SHOWN
    assert "not every case and seed was made more than once" in answer.reason
    doubtful = changed(report, Scope.REPEAT, outcome=Status.ERROR, message="a sample is missing")
    assert of(doubtful, Question.DETERMINISTIC) == Answer(
        question=Question.DETERMINISTIC, answered=Answered.NOT_SHOWN, reason="a sample is missing"
    )


def test_a_reference_that_ran_once_leaves_determinism_shown_and_an_unstable_one_does_not(tmp_path: Path) -> None:
    report = whole(tmp_path)
    (repeats,) = (
        comparison
        for comparison in report.comparisons
        if comparison.actual.arm == "candidate" and comparison.scope is Scope.REPEAT
    )
    reference = next(run for run in report.runs if run.plan.arm.role is Role.REFERENCE)
    side = repeats.actual.model_copy(update={"arm": reference.plan.arm.name})
    once = repeats.model_copy(
        update={
            "actual": side,
            "outcome": Status.SKIPPED,
            "repetitions": [item.model_copy(update={"runs": 1}) for item in repeats.repetitions],
        }
    )
    answer = of(report.model_copy(update={"comparisons": [*report.comparisons, once]}), Question.DETERMINISTIC)
    assert answer.answered is Answered.YES
    several = [item.model_copy(update={"outcomes": [*item.outcomes, *item.outcomes]}) for item in repeats.repetitions]
    unstable = once.model_copy(update={"outcome": Status.UNSTABLE, "repetitions": several})
    answer = of(report.model_copy(update={"comparisons": [*report.comparisons, unstable]}), Question.DETERMINISTIC)
    assert answer.answered is Answered.NO


def test_whether_it_is_accurate(tmp_path: Path) -> None:
    kept = of(sample_reports.within_limits(tmp_path / "kept"), Question.ACCURATE)
    assert kept.answered is Answered.YES
    assert "all limits kept; nearest to its limit: psnr_db" in kept.reason
    broken = of(sample_reports.drift(tmp_path / "broken"), Question.ACCURATE)
    assert broken.answered is Answered.NO
    assert "allowed: at least" in broken.reason
    apart = of(sample_reports.not_comparable(tmp_path / "apart"), Question.ACCURATE)
    assert apart.answered is Answered.NOT_SHOWN
    alone = of(sample_reports.nothing_compared(tmp_path / "alone"), Question.ACCURATE)
    assert (alone.answered, alone.reason) == (Answered.NOT_SHOWN, "no arm was compared with a reference")


def test_a_break_of_all_pairs_together_is_not_told_by_a_pair_that_keeps_its_limit(tmp_path: Path) -> None:
    """A ratio or a score is judged over all pairs; none of them breaks anything."""
    report = sample_reports.within_limits(tmp_path)
    together = changed(report, Scope.REFERENCE, outcome=Status.DRIFT, message="the ratio is 3")
    answer = of(together, Question.ACCURATE)
    assert answer.answered is Answered.NO
    assert answer.reason.endswith("the ratio is 3")


def test_waived_limits_are_not_called_kept(tmp_path: Path) -> None:
    drift = sample_reports.drift(tmp_path)
    report = test_limits_table.judged(
        drift,
        drift.scenario.limits,
        [test_limits_table.KNOWN.model_copy(update={"metric": None, "case": None})],
    )
    assert {comparison.outcome for comparison in references(report)} == {Status.WAIVED}
    answer = of(report, Question.ACCURATE)
    assert answer.answered in {Answered.YES, Answered.NOT_SHOWN}
    assert "all limits kept;" not in answer.reason


def test_pairs_that_nothing_judges_are_not_called_accurate(tmp_path: Path) -> None:
    report = sample_reports.within_limits(tmp_path)
    pairs = [pair.model_copy(update={"verdicts": []}) for pair in references(report)[0].pairs]
    answer = of(changed(report, Scope.REFERENCE, pairs=pairs), Question.ACCURATE)
    assert answer.answered is Answered.NOT_SHOWN
    assert "no limit judges them" in answer.reason


def test_whether_it_may_ship(tmp_path: Path) -> None:
    good = whole(tmp_path / "good")
    assert of(good, Question.SHIP).answered is Answered.YES
    missing = MissingCell(scenario="never", arm=None, status=Status.ERROR, reason="no job answers it")
    assert "1 thing is missing" in of(good, Question.SHIP, [missing]).reason
    assert of(good, Question.SHIP, [missing]).answered is Answered.NO
    for number, (builder, why) in enumerate(
        {"unstable": "it is not deterministic", "drift": "it is not accurate", "error": "did not pass"}.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        answer = of(sample_reports.BUILDERS[builder](folder), Question.SHIP)
        assert (answer.answered, why in answer.reason) == (Answered.NO, True), answer.reason


@pytest.mark.parametrize(
    ("builder", "why"),
    [
        ("simulated", "a device is simulated"),
        ("stand_in", "a CPU stood in"),
        ("identical", "whether it is accurate is not shown"),
    ],
)
def test_what_shows_nothing_about_a_device_may_not_ship_by_it(builder: str, why: str, tmp_path: Path) -> None:
    answer = of(sample_reports.BUILDERS[builder](tmp_path), Question.SHIP)
    assert answer.answered is Answered.NOT_SHOWN
    assert why in answer.reason


def test_a_model_that_was_made_for_testing_does_not_ship(tmp_path: Path) -> None:
    answer = of(embedded(whole(tmp_path)), Question.SHIP)
    assert (answer.answered, answer.reason) == (Answered.NOT_SHOWN, "the model is one that was made for testing")


@pytest.mark.parametrize(
    ("bound", "measured", "inside"),
    [
        ({"at_least": 40.0}, 50.0, 0.25),
        ({"at_least": 40.0}, 30.0, -0.25),
        ({"at_most": 8.0}, 6.0, 0.25),
        ({"at_most": 0.0}, 1.0, -1.0),
        ({"equals": 1.0}, 1.0, float("inf")),
        ({"equals": 1.0}, 0.0, float("-inf")),
        ({"at_most": 8.0}, None, float("-inf")),
        ({"at_most": 8.0}, float("nan"), float("-inf")),
    ],
)
def test_room_is_in_parts_of_the_limit(bound: dict[str, float], measured: float | None, inside: float) -> None:
    limit = Limit.model_validate({"metric": "psnr_db", "scope": "reference", "reason": "Only for this test.", **bound})
    assert room(Verdict(limit=limit, measured=measured, status=Status.DRIFT, message="")) == inside


def test_answers_are_said_in_chinese(tmp_path: Path) -> None:
    found = answers([sample_reports.within_limits(tmp_path)])
    with spoken("zh"):
        words = [translated(answer.reason) for answer in found]
    assert "全部符合限值" in words[2]
    assert all(word != answer.reason for word, answer in zip(words, found, strict=True))
