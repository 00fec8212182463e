"""How often did it give another result, and along which axis? Each answer on letters that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.repetition import bound_95, repetition
from harness.records import Status
from tests.compare.stored_runs import CUP, Made, one_case, sha, stored_run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import ArrayRef, Repetition, Sample

TURN = "the result changes within a process, first at {}, and does not go back"
PROCESS = "each process repeats its own: what differs is the process"

# Samples by process, the number of distinct outcomes, and what must be said about them.
PATTERNS = {
    "AAA AAA": (1, "all runs gave the same bytes"),
    "AA": (1, "all runs gave the same bytes"),
    "A A": (1, "all runs gave the same bytes"),
    "A": (1, "one run only: nothing was repeated"),
    "AAB": (2, TURN.format("p0r2")),
    "AAB AAB": (2, TURN.format("p0r2")),
    "ABB AAB": (2, TURN.format("p0r1")),
    "AAAA AAAB": (2, TURN.format("p1r3")),
    "AABC": (3, TURN.format("p0r2")),
    "ABA BAB": (2, "3 and 3 times, in no order: two modes"),
    "ABA": (2, "2 and 1 times, in no order: two modes"),
    "AAB BAA": (2, "4 and 2 times, in no order: two modes"),
    "A B A": (2, "2 and 1 times, in no order: two modes"),
    "AAA BBB": (2, PROCESS),
    "AA BB AA": (2, PROCESS),
    "AAA BBB CCC": (3, PROCESS),
    "AAA B": (2, PROCESS),
    "ABC": (3, "every one of 3 runs gave another outcome"),
    "AB": (2, "every one of 2 runs gave another outcome"),
    "A B": (2, "every one of 2 runs gave another outcome"),
    "ABC DEF": (6, "every one of 6 runs gave another outcome"),
    "ABA CAB": (3, "3 outcomes in 6 runs, in no order"),
}


def found(folder: Path, pattern: str) -> Repetition:
    return repetition(CUP, one_case(folder, pattern).run.samples)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_pattern_names_the_axis_that_separates_the_outcomes(pattern: str, tmp_path: Path) -> None:
    outcomes, words = PATTERNS[pattern]
    result = found(tmp_path / "arm", pattern)
    assert len(result.outcomes) == outcomes
    assert result.pattern.endswith(words)
    assert result.runs == len(pattern.replace(" ", ""))
    assert result.processes == len(pattern.split())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_more_than_one_outcome_is_unstable_and_one_run_shows_nothing(pattern: str, tmp_path: Path) -> None:
    letters = pattern.replace(" ", "")
    expected = Status.UNSTABLE if len(set(letters)) > 1 else Status.IDENTICAL if len(letters) > 1 else Status.SKIPPED
    assert found(tmp_path / "arm", pattern).status is expected


def test_outcomes_say_who_made_them_the_first_sample_first(tmp_path: Path) -> None:
    result = found(tmp_path / "arm", "BAB AAB")
    assert [outcome.samples for outcome in result.outcomes] == [["p0r0", "p0r2", "p1r2"], ["p0r1", "p1r0", "p1r1"]]
    assert len({outcome.image_digest for outcome in result.outcomes}) == 2


def test_one_process_a_run_is_not_said_to_repeat_its_own(tmp_path: Path) -> None:
    assert "repeats its own" not in found(tmp_path / "arm", "A B B A").pattern


@pytest.mark.parametrize("part", ["float_image", "latents"])
def test_a_difference_behind_equal_pictures_counts_and_is_said(part: str, tmp_path: Path) -> None:
    other = Made(float_image="B") if part == "float_image" else Made(latents="B")
    run = stored_run(tmp_path / "arm", {CUP: [[Made(), Made()], [Made(), other]]}).run
    result = repetition(CUP, run.samples)
    assert result.status is Status.UNSTABLE
    assert len({outcome.image_digest for outcome in result.outcomes}) == 1
    assert result.pattern.endswith("although the 8-bit pictures are the same")


def test_pictures_that_differ_are_not_said_to_be_the_same(tmp_path: Path) -> None:
    assert "although" not in found(tmp_path / "arm", "AAB AAB").pattern


def test_a_pipeline_without_float_output_is_judged_by_what_there_is(tmp_path: Path) -> None:
    plain = Made(float_image=None)
    run = stored_run(tmp_path / "arm", {CUP: [[plain, plain]]}).run
    assert repetition(CUP, run.samples).status is Status.IDENTICAL


# Published in the project's notes on repeats: runs seen identical, rate that they do not exclude at 95 %.
BOUNDS = {3: 0.63, 5: 0.45, 10: 0.26, 20: 0.14, 30: 0.095, 59: 0.05, 100: 0.030, 299: 0.010, 1000: 0.0030, 2995: 0.0010}


@pytest.mark.parametrize("runs", BOUNDS)
def test_the_bound_is_the_published_one(runs: int) -> None:
    assert float(f"{bound_95(runs):.2g}") == pytest.approx(BOUNDS[runs], abs=1e-12)


def test_one_run_excludes_next_to_nothing() -> None:
    assert bound_95(1) == 0.95


@given(st.integers(1, 100_000))
def test_the_bound_leaves_five_percent_and_shrinks(runs: int) -> None:
    assert (1 - bound_95(runs)) ** runs == pytest.approx(0.05)
    assert bound_95(runs + 1) < bound_95(runs)


def test_the_bound_is_that_of_the_runs_seen(tmp_path: Path) -> None:
    assert found(tmp_path / "arm", "AAA AAA").bound_95 == bound_95(6)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return one_case(tmp_path_factory.mktemp("runs") / "arm", "A").run.samples[0]


@given(words=st.lists(st.text(alphabet="ABC", min_size=1, max_size=4), min_size=1, max_size=3))
def test_no_sample_is_lost_or_counted_twice(sample: Sample, words: list[str]) -> None:
    samples = [
        sample.model_copy(update={"process": process, "repeat": repeat, "image": image_named(sample, name)})
        for process, word in enumerate(words)
        for repeat, name in enumerate(word)
    ]
    result = repetition(CUP, samples)
    members = [label for outcome in result.outcomes for label in outcome.samples]
    assert sorted(members) == sorted(each.label for each in samples)
    assert len(result.outcomes) == len(set("".join(words)))
    assert result.runs == len(samples)


def image_named(sample: Sample, name: str) -> ArrayRef:
    return sample.image.model_copy(update={"digest": sha(name)})
