"""Stored files become measurements: structure first, digests second, numbers last, and nothing is taken on trust."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugins
from harness.compare.comparator import compare_repeats, compare_runs, first_differing_step, measure
from harness.errors import ImageError, RecordError
from harness.images import write_arrays, write_picture
from harness.records import Arm, Case, CaseKey, NoiseMode, Perturbation, PerturbationKind, Scope, Status, SwitchMode
from tests.compare.stored_runs import (
    CAT,
    CUP,
    IDENTICAL_PICTURES,
    Made,
    failure,
    float_image_of,
    judge,
    latents_of,
    letter,
    limit,
    model_identity,
    one_case,
    picture_of,
    processes,
    sha,
    single,
    stored_run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from harness.compare.comparator import StoredRun
    from harness.records import Comparison, Measurement, Pair

AT_LEAST_40_DB = limit("psnr_db", Scope.REFERENCE, at_least=40)


def repeats(stored: StoredRun, *limits: Any) -> Comparison:
    return judge(compare_repeats(stored, limits=list(limits), base=stored.folder.parent))


def against(actual: StoredRun, expected: StoredRun, *limits: Any) -> Comparison:
    chosen = list(limits) or [AT_LEAST_40_DB]
    return judge(compare_runs(actual, expected, limits=chosen, base=actual.folder.parent))


def measured(pair: Pair, metric: str, subject: str = "image") -> Measurement:
    return next(each for each in pair.measurements if each.metric == metric and each.subject == subject)


# --- repeats ---------------------------------------------------------------------------------------------------------


def test_equal_repeats_are_identical_and_need_no_limit(tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", "AAA AAA"))
    assert comparison.outcome is Status.IDENTICAL
    assert "the same bytes in 6 runs and 2 processes" in comparison.message
    assert "above 39 %" in comparison.message


@pytest.mark.parametrize("pattern", ["AAB AAB", "ABA BAB", "AAA BBB", "ABC DEF", "AB"])
def test_repeats_that_differ_are_unstable(pattern: str, tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", pattern), IDENTICAL_PICTURES)
    assert comparison.outcome is Status.UNSTABLE
    assert comparison.repetitions[0].pattern in comparison.message
    assert str(CUP) in comparison.message


def test_one_case_that_differs_is_not_outvoted(tmp_path: Path) -> None:
    stored = stored_run(tmp_path / "arm", {CUP: processes("AAA AAA"), CAT: processes("AAA AAB")})
    comparison = repeats(stored)
    assert comparison.outcome is Status.UNSTABLE
    assert f"1 of 2 cases are not repeatable; {CAT}" in comparison.message


def test_a_single_run_is_skipped_never_identical(tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", "A"))
    assert comparison.outcome is Status.SKIPPED
    assert comparison.message == "one run only: nothing was repeated"


def test_no_runs_at_all_are_an_error(tmp_path: Path) -> None:
    comparison = repeats(stored_run(tmp_path / "arm", {}, keys=[CUP]))
    assert comparison.outcome is Status.ERROR
    assert comparison.missing == [CUP]
    nothing_planned = repeats(stored_run(tmp_path / "other", {}))
    assert nothing_planned.outcome is Status.ERROR
    assert nothing_planned.message == "there was nothing to compare"


def test_a_case_without_a_sample_is_missing_although_the_others_agree(tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", "AAA", keys=[CUP, CAT]))
    assert comparison.outcome is Status.ERROR
    assert f"missing {CAT}" in comparison.message


def test_a_failure_is_an_error_although_the_samples_agree(tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", "AAA AAA", failures=[failure(), failure("second")]))
    assert comparison.outcome is Status.ERROR
    assert comparison.message == "generate failed: RuntimeError: planted: out of memory (and 1 more)"


def test_repeats_with_other_noise_are_no_repeats(tmp_path: Path) -> None:
    stored = stored_run(tmp_path / "arm", {CUP: [[Made(), Made(noise="another")]]})
    comparison = repeats(stored)
    assert comparison.outcome is Status.NOT_COMPARABLE
    assert f"{CUP}: p0r1 had other noise than p0r0" in comparison.message
    assert sha("another")[:16] in comparison.message


@pytest.mark.parametrize("other", [Made(float_image="B"), Made(latents="B")], ids=["float output", "latents"])
@pytest.mark.parametrize("limits", [[], [IDENTICAL_PICTURES]], ids=["no limit", "limit on pictures"])
def test_other_floats_behind_equal_pictures_are_unstable_and_said(
    other: Made, limits: list[Any], tmp_path: Path
) -> None:
    comparison = repeats(stored_run(tmp_path / "arm", {CUP: [[Made(), Made(), other]]}), *limits)
    assert comparison.outcome is Status.UNSTABLE
    assert "although the 8-bit pictures are the same" in comparison.message
    (pair,) = comparison.pairs
    assert not pair.identical
    assert measured(pair, "identical").value == 1
    if other.float_image == "B":
        assert measured(pair, "identical", "float_image").value == 0
        assert measured(pair, "max_abs_diff", "float_image").value == pytest.approx(2**-10)


def test_only_distinct_outcomes_are_measured(tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", "AAB CAB"))
    assert [(pair.actual, pair.expected) for pair in comparison.pairs] == [("p0r2", "p0r0"), ("p1r0", "p0r0")]
    same = repeats(one_case(tmp_path / "same", "AAA AAA"))
    assert [(pair.actual, pair.expected, pair.identical) for pair in same.pairs] == [("p0r1", "p0r0", True)]


def test_repeats_are_held_against_limits_of_repeats_only(tmp_path: Path) -> None:
    comparison = repeats(one_case(tmp_path / "arm", "AAB"), IDENTICAL_PICTURES, AT_LEAST_40_DB)
    assert comparison.limits == [IDENTICAL_PICTURES]


# --- a candidate against a reference ---------------------------------------------------------------------------------


def test_equal_runs_are_identical(tmp_path: Path) -> None:
    comparison = against(one_case(tmp_path / "npu", "AAA"), one_case(tmp_path / "cpu", "AAA"))
    assert comparison.outcome is Status.IDENTICAL
    assert comparison.message == "all 1 pairs are equal byte for byte"
    assert comparison.actual.path == "npu"
    assert comparison.expected.path == "cpu"


def test_a_small_difference_is_measured_and_judged(tmp_path: Path) -> None:
    comparison = against(one_case(tmp_path / "npu", "B"), one_case(tmp_path / "cpu", "A"))
    (pair,) = comparison.pairs
    # One square of 4 by 4 of 32 by 32 pixels is 9 levels brighter in all channels.
    mse = 81 * 16 / 1024
    assert measured(pair, "mse").value == pytest.approx(mse)
    assert measured(pair, "max_abs_diff").value == 9
    assert measured(pair, "mean_abs_diff").value == pytest.approx(9 * 16 / 1024)
    assert measured(pair, "signed_mean_diff").value == pytest.approx(9 * 16 / 1024)
    assert measured(pair, "psnr_db").value == pytest.approx(10 * math.log10(255**2 / mse))
    assert comparison.outcome is Status.WITHIN_LIMITS
    assert comparison.message == "all 1 limits are kept"
    stricter = against(
        one_case(tmp_path / "npu", "B"),
        one_case(tmp_path / "cpu", "A"),
        limit("max_abs_diff", Scope.REFERENCE, equals=8),
    )
    assert stricter.outcome is Status.DRIFT


def test_what_no_limit_judges_is_skipped_never_passed(tmp_path: Path) -> None:
    actual, expected = one_case(tmp_path / "npu", "B"), one_case(tmp_path / "cpu", "A")
    comparison = against(actual, expected, IDENTICAL_PICTURES)
    assert comparison.limits == []
    assert comparison.outcome is Status.SKIPPED
    assert comparison.message == "measured, but no limit judges it"


def test_every_metric_is_measured_on_every_subject_it_is_defined_on(tmp_path: Path) -> None:
    (pair,) = against(one_case(tmp_path / "npu", "B"), one_case(tmp_path / "cpu", "A")).pairs
    wanted = {
        (name, subject) for name in plugins.names("metrics") for subject in plugins.load("metrics", name).SUBJECTS
    }
    assert {(each.metric, each.subject) for each in pair.measurements} == wanted


def test_measurements_name_unit_direction_and_definition(tmp_path: Path) -> None:
    for pattern in ("A", "B"):
        (pair,) = against(one_case(tmp_path / "npu", pattern), one_case(tmp_path / "cpu", "A")).pairs
        for each in pair.measurements:
            metric = plugins.load("metrics", each.metric)
            assert (each.unit, each.better, each.spec) == (metric.UNIT, metric.BETTER, metric.SPEC)


def test_other_noise_is_not_comparable_and_nothing_is_measured(tmp_path: Path) -> None:
    comparison = against(single(tmp_path / "npu", Made(noise="another")), single(tmp_path / "cpu"))
    assert comparison.outcome is Status.NOT_COMPARABLE
    expected = f"{CUP}: the noise differs (actual {sha('another')[:16]}, expected {sha('the same noise')[:16]})"
    assert comparison.differences == [expected]
    assert comparison.pairs == []


@pytest.mark.parametrize("side", ["actual", "expected"])
def test_draws_that_nobody_knows_are_not_comparable(side: str, tmp_path: Path) -> None:
    hidden = Made(hidden_draws=("torch.rand was called",))
    actual, expected = (hidden, Made()) if side == "actual" else (Made(), hidden)
    comparison = against(single(tmp_path / "npu", actual), single(tmp_path / "cpu", expected))
    assert comparison.outcome is Status.NOT_COMPARABLE
    assert comparison.differences == [f"{CUP}: the {side} side drew noise that is not known (torch.rand was called)"]


@pytest.mark.parametrize("side", ["actual", "expected"])
def test_noise_of_the_device_is_not_comparable(side: str, tmp_path: Path) -> None:
    arm = Arm(name="arm", noise=NoiseMode.DEVICE, switches=SwitchMode.AS_SHIPPED)
    mine, theirs = ({"arm": arm}, {}) if side == "actual" else ({}, {"arm": arm})
    comparison = against(single(tmp_path / "npu", planned=mine), single(tmp_path / "cpu", planned=theirs))
    assert comparison.outcome is Status.NOT_COMPARABLE
    (difference,) = comparison.differences
    assert difference.startswith(f"the {side} side drew its noise on its own device; set noise: portable")


@pytest.mark.parametrize("noise", ["the same", "another"])
@pytest.mark.parametrize("mode", [NoiseMode.TORCH_CPU, NoiseMode.PORTABLE])
def test_the_digest_decides_about_the_stream_of_torch_and_a_note_says_why(
    noise: str, mode: NoiseMode, tmp_path: Path
) -> None:
    planned = {"arm": Arm(name="arm", noise=mode, switches=SwitchMode.DETERMINISTIC)}
    actual = single(tmp_path / "npu", Made(noise=noise), planned=planned)
    comparison = against(actual, single(tmp_path / "cpu", Made(noise="the same"), planned=planned))
    assert (comparison.outcome is Status.NOT_COMPARABLE) is (noise == "another")
    said = [note for note in comparison.notes if "torch's version and instruction set" in note]
    assert len(said) == (mode is NoiseMode.TORCH_CPU)


@pytest.mark.parametrize("side", ["actual", "expected"])
def test_a_disturbed_run_is_never_taken_for_a_plain_one(side: str, tmp_path: Path) -> None:
    disturbed = {"perturbation": Perturbation(kind=PerturbationKind.MODULE_ULP)}
    mine, theirs = (disturbed, {}) if side == "actual" else ({}, disturbed)
    comparison = against(single(tmp_path / "npu", planned=mine), single(tmp_path / "cpu", planned=theirs))
    assert comparison.outcome is Status.NOT_COMPARABLE
    words = f"the {side} side was disturbed on purpose (module_ulp); only harness calibrate reads it"
    assert comparison.differences == [words]
    assert repeats(one_case(tmp_path / "disturbed", "AA", planned=disturbed)).outcome is Status.NOT_COMPARABLE


CHANGED_PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "width": ({"width": 64}, "width: actual 64, expected 32"),
    "height": ({"height": 64}, "height: actual 64, expected 32"),
    "steps": ({"steps": 4}, "steps: actual 4, expected 3"),
    "guidance": ({"guidance_scale": 1.0}, "guidance_scale: actual 1.0, expected 4.0"),
    "prompt": ({"cases": [Case(id="cup", prompt="a blue cup")]}, "the prompt of case cup differs"),
    "negative prompt": (
        {"cases": [Case(id="cup", prompt="a red cup", negative_prompt="blurry")]},
        "the negative prompt of case cup differs",
    ),
    "input picture": ({"input_digests": {"cup": sha("changed")}}, "the input picture of case cup differs"),
    "no input picture": ({"input_digests": {}}, "the input picture of case cup differs"),
}


@pytest.mark.parametrize("change", CHANGED_PLANS)
def test_other_inputs_are_not_comparable_and_said_in_words(change: str, tmp_path: Path) -> None:
    planned, words = CHANGED_PLANS[change]
    with_picture = {"input_digests": {"cup": sha("picture")}}
    comparison = against(
        single(tmp_path / "npu", planned=with_picture | planned), single(tmp_path / "cpu", planned=with_picture)
    )
    assert comparison.differences == [words]
    assert comparison.outcome is Status.NOT_COMPARABLE
    assert words in comparison.message
    assert comparison.pairs == []


@pytest.mark.parametrize("side", ["npu", "cpu"])
def test_an_input_picture_on_one_side_alone_is_a_difference(side: str, tmp_path: Path) -> None:
    planned = {side: {"input_digests": {"cup": sha("picture")}}}
    actual, expected = (single(tmp_path / name, planned=planned.get(name)) for name in ("npu", "cpu"))
    assert against(actual, expected).differences == ["the input picture of case cup differs"]


def test_another_model_is_not_comparable(tmp_path: Path) -> None:
    comparison = against(single(tmp_path / "npu", model=model_identity("other")), single(tmp_path / "cpu"))
    assert comparison.outcome is Status.NOT_COMPARABLE
    (difference,) = comparison.differences
    assert difference.startswith("the model differs, and nothing says that this is meant (differs_in of the scenario")
    assert f"actual {sha('other')[:16]}, expected {sha('model')[:16]} over all files" in difference


def test_every_difference_is_told_not_only_the_first(tmp_path: Path) -> None:
    actual = single(
        tmp_path / "npu",
        Made(noise="another"),
        planned={"steps": 4, "guidance_scale": 1.0},
        model=model_identity("other"),
    )
    comparison = against(actual, single(tmp_path / "cpu"))
    assert len(comparison.differences) == 4
    assert all(each in comparison.message for each in comparison.differences)


def test_another_arm_device_and_dtype_may_be_compared(tmp_path: Path) -> None:
    planned = {"arm": Arm(name="npu", device="npu", dtype="bfloat16")}
    assert against(single(tmp_path / "npu", planned=planned), single(tmp_path / "cpu")).outcome is Status.IDENTICAL


def test_a_missing_case_is_an_error(tmp_path: Path) -> None:
    expected = stored_run(tmp_path / "cpu", {CUP: [[Made()]], CAT: [[Made()]]})
    comparison = against(single(tmp_path / "npu"), expected)
    assert comparison.outcome is Status.ERROR
    assert comparison.missing == [CAT]
    assert f"missing {CAT}; unexpected none" in comparison.message


def test_an_unexpected_case_is_an_error(tmp_path: Path) -> None:
    actual = stored_run(tmp_path / "npu", {CUP: [[Made()]], CAT: [[Made()]]})
    comparison = against(actual, single(tmp_path / "cpu"))
    assert comparison.outcome is Status.ERROR
    assert comparison.unexpected == [CAT]
    assert f"missing none; unexpected {CAT}" in comparison.message


def test_a_case_that_the_expected_side_planned_but_never_made_is_an_error(tmp_path: Path) -> None:
    actual = stored_run(tmp_path / "npu", {CUP: [[Made()]], CAT: [[Made()]]})
    comparison = against(actual, single(tmp_path / "cpu", keys=[CUP, CAT]))
    assert comparison.unexpected == [CAT]
    assert comparison.outcome is Status.ERROR


def test_two_runs_without_samples_are_an_error(tmp_path: Path) -> None:
    comparison = against(stored_run(tmp_path / "npu", {}), stored_run(tmp_path / "cpu", {}))
    assert comparison.outcome is Status.ERROR
    assert comparison.message == "there was nothing to compare"


@pytest.mark.parametrize("side", ["actual", "expected"])
def test_a_failure_of_either_side_is_an_error(side: str, tmp_path: Path) -> None:
    mine, theirs = ([failure()], []) if side == "actual" else ([], [failure()])
    comparison = against(single(tmp_path / "npu", failures=mine), single(tmp_path / "cpu", failures=theirs))
    assert comparison.outcome is Status.ERROR
    assert "planted: out of memory" in comparison.message


def test_a_float_output_on_one_side_only_is_not_identical(tmp_path: Path) -> None:
    comparison = against(single(tmp_path / "npu", Made(float_image=None)), single(tmp_path / "cpu"))
    (pair,) = comparison.pairs
    assert not pair.identical
    assert {each.subject for each in pair.measurements} == {"image", "latents"}


def test_latents_are_measured_without_a_range(tmp_path: Path) -> None:
    (pair,) = against(one_case(tmp_path / "npu", "C"), one_case(tmp_path / "cpu", "B")).pairs
    assert measured(pair, "relative_l2", "latents").value == 1  # all 2 against all 1
    assert measured(pair, "cosine_distance", "latents").value == 0
    (pair,) = against(one_case(tmp_path / "npu", "B"), one_case(tmp_path / "cpu", "A")).pairs
    found = measured(pair, "relative_l2", "latents")
    assert found.value is None
    assert "every value of the expected side is zero" in found.problem


def test_latents_can_be_judged(tmp_path: Path) -> None:
    actual, expected = one_case(tmp_path / "npu", "C"), one_case(tmp_path / "cpu", "B")
    for most, outcome in ((1, Status.WITHIN_LIMITS), (0.5, Status.DRIFT)):
        asked = limit("relative_l2", Scope.REFERENCE, subject="latents", at_most=most)
        assert asked.rule == f"relative_l2 of the latents at most {most:g}"
        assert against(actual, expected, asked).outcome is outcome


def test_latents_changed_after_the_run_are_refused(tmp_path: Path) -> None:
    stored = one_case(tmp_path / "arm", "AA")
    arrays = {"float_image": float_image_of("A"), "latents": latents_of("B")}
    write_arrays(tmp_path / "arm" / "samples/cup/42/p0r1.safetensors", arrays, {})
    with pytest.raises(RecordError, match=r"p0r1\.safetensors does not hold what its record says"):
        repeats(stored)


# --- pairing ---------------------------------------------------------------------------------------------------------

KEYS = [CaseKey(case=case, seed=seed) for case in ("cup", "cat") for seed in (7, 42)]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    return stored_run(tmp_path_factory.mktemp("runs") / "arm", {key: [[Made()]] for key in KEYS})


def part_of(whole: StoredRun, planned: list[CaseKey], made: list[CaseKey]) -> StoredRun:
    cases = [case for case in whole.run.plan.cases if case.id in {key.case for key in planned}]
    plan = whole.run.plan.model_copy(update={"cases": cases, "seeds": sorted({key.seed for key in planned})})
    samples = [sample for sample in whole.run.samples if sample.key in made]
    return type(whole)(run=whole.run.model_copy(update={"plan": plan, "samples": samples}), folder=whole.folder)


SOME_KEYS = st.lists(st.sampled_from(KEYS), unique=True)


@given(mine=SOME_KEYS, theirs=SOME_KEYS, plans=st.tuples(SOME_KEYS, SOME_KEYS))
def test_pairing_never_loses_a_case(
    whole_run: StoredRun, mine: list[CaseKey], theirs: list[CaseKey], plans: tuple[list[CaseKey], list[CaseKey]]
) -> None:
    actual = part_of(whole_run, [*mine, *plans[0]], mine)
    expected = part_of(whole_run, [*theirs, *plans[1]], theirs)
    comparison = compare_runs(actual, expected, limits=[], base=whole_run.folder)
    paired = [pair.key for pair in comparison.pairs]
    told = [*paired, *comparison.missing, *comparison.unexpected]
    assert len(told) == len(set(told))
    assert set(told) == {*actual.run.plan.keys, *expected.run.plan.keys}
    assert set(paired) == set(mine) & set(theirs)
    if set(told) != set(paired):
        assert judge(comparison).outcome is Status.ERROR


@given(made=SOME_KEYS)
def test_repeats_never_lose_a_case(whole_run: StoredRun, made: list[CaseKey]) -> None:
    comparison = compare_repeats(part_of(whole_run, KEYS, made), limits=[], base=whole_run.folder)
    told = [*(each.key for each in comparison.repetitions), *comparison.missing]
    assert sorted(map(str, told)) == sorted(map(str, KEYS))


# --- steps -----------------------------------------------------------------------------------------------------------

# Latents after each step on both sides, and the first step, from 1, that differs.
STEPS = {
    ("xyz", "xyz"): None,
    ("ayz", "xyz"): 1,
    ("xyz", "xbz"): 2,
    ("xyz", "xya"): 3,
    ("abc", "xyz"): 1,
    ("", ""): None,
}


@pytest.mark.parametrize("steps", STEPS)
def test_the_first_differing_step_is_counted_from_one(steps: tuple[str, str], tmp_path: Path) -> None:
    actual, expected = (
        single(tmp_path / name, Made(steps=word)).run.samples[0] for name, word in zip(("a", "b"), steps, strict=True)
    )
    assert first_differing_step(actual, expected) == STEPS[steps]


def test_a_pair_tells_its_first_differing_step(tmp_path: Path) -> None:
    (pair,) = repeats(one_case(tmp_path / "arm", "AAB")).pairs
    assert pair.first_differing_step == 3


# --- structure and stored files --------------------------------------------------------------------------------------


def test_another_size_is_an_error_never_a_resize(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"actual is uint8\[16, 16, 3\], expected is uint8\[32, 32, 3\]"):
        against(single(tmp_path / "npu", Made(side=16)), single(tmp_path / "cpu"))


@pytest.mark.parametrize(
    "other", [np.zeros((32, 16, 3), np.uint8), np.zeros((32, 32, 3), np.float32)], ids=["shape", "dtype"]
)
def test_other_structure_is_refused_before_any_number(other: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ImageError, match="differ in form"):
        measure(other, picture_of("A"), subject="image", metrics=["identical"])


def test_a_metric_without_a_value_says_why() -> None:
    (found,) = measure(picture_of("A", 8), picture_of("A", 8)[::-1], subject="image", metrics=["ssim"])
    assert found.value is None
    assert "11" in found.problem


@pytest.mark.parametrize("side", ["npu", "cpu"])
def test_a_picture_changed_after_the_run_is_refused(side: str, tmp_path: Path) -> None:
    actual, expected = single(tmp_path / "npu"), single(tmp_path / "cpu")
    write_picture(tmp_path / side / actual.run.samples[0].image.path, picture_of("B"))
    with pytest.raises(RecordError, match=r"p0r0\.png does not hold what its record says.*changed after the run"):
        against(actual, expected)


def test_a_float_output_changed_after_the_run_is_refused(tmp_path: Path) -> None:
    stored = one_case(tmp_path / "arm", "AA")
    arrays = {"float_image": float_image_of("B"), "latents": latents_of("A")}
    write_arrays(tmp_path / "arm" / "samples/cup/42/p0r1.safetensors", arrays, {})
    with pytest.raises(RecordError, match=r"p0r1\.safetensors does not hold what its record says"):
        repeats(stored)


def test_a_picture_that_is_gone_is_refused(tmp_path: Path) -> None:
    stored = one_case(tmp_path / "arm", "AA")
    (tmp_path / "arm" / "samples/cup/42/p0r1.png").unlink()
    with pytest.raises(ImageError, match="there is no such file"):
        repeats(stored)


def test_letters_change_exactly_what_they_should() -> None:
    assert (picture_of("A") != picture_of("B")).any(axis=-1).sum() == 16
    assert (float_image_of("A") != float_image_of("B")).sum() == 3
    assert letter("B") == Made(picture="B", float_image="B", latents="B", steps="xyB")
