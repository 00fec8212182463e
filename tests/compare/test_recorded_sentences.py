"""Every sentence that comparing puts into a record is known again and said in the reader's language."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.compare import comparability
from harness.compare.comparator import compare_repeats, compare_runs, missing_baseline
from harness.compare.hints import hints
from harness.language import languages, recorded, spoken, translated
from harness.records import Arm, Evidence, NoiseMode, Role, Schedule, Scope, listed
from tests.compare import test_baselines, test_dual, test_hints, test_overlays_and_waivers, test_parity
from tests.compare.stored_runs import (
    CAT,
    CUP,
    TODAY,
    Made,
    environment,
    failure,
    judge,
    letter,
    limit,
    model_identity,
    model_of,
    one_case,
    processes,
    sha,
    single,
    stored_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.records import Comparison

ENGLISH = re.compile(r"(?<!\w)[A-Za-z][A-Za-z'-]*(?: [A-Za-z][A-Za-z'-]*){2,}(?!\w)")
"""Three English words or more in a row."""
SENTENCES = {"message", "notes", "differences", "notices", "missing_baseline", "pattern", "problem", "where", "unit"}
"""Fields of records that hold sentences of the harness."""
NOT_OURS = (
    "planted: out of memory",  # what a library said
    "Only for this test",  # reasons that a user wrote
    "harness baseline accept runs",  # commands
    "harness baseline pack",
)
OTHERS = sorted(set(languages()) - {"en"})


def left_in_english(text: str, code: str) -> list[str]:
    """English in a translated sentence that is not a library's, a user's or a command."""
    with spoken(code):
        said = translated(text)
    for foreign in NOT_OURS:
        said = said.replace(foreign, "")
    return ENGLISH.findall(said)


def sentences(value: object, field: str = "") -> Iterator[str]:
    """Every sentence in a record."""
    if isinstance(value, str) and field in SENTENCES:
        yield value
    elif isinstance(value, dict):
        yield from (text for name, each in value.items() for text in sentences(each, name))
    elif isinstance(value, list):
        yield from (text for each in value for text in sentences(each, field))


def written(comparison: Comparison) -> list[str]:
    """The sentences of a comparison, and what its limits and waivers are called."""
    rules = [words for each in comparison.limits for words in (each.rule, each.holds_for)]
    return [*sentences(comparison.model_dump()), *rules, *(each.rule for each in comparison.waivers)]


def repeats(folder: Path) -> Iterator[Comparison]:
    """Repeats of every pattern, judged by limits that hold, break and are waived."""
    patterns = ["AAA AAA", "A", "AAA", "AB", "AA BB", "AAB AAB", "ABA AAA", "ABC ABA", "AA A"]
    for number, pattern in enumerate(patterns):
        stored = one_case(folder / f"pattern-{number}", pattern)
        for limits in ([], [limit("identical", equals=1)], [limit("max_abs_diff", at_most=200)]):
            yield judge(compare_repeats(stored, limits=limits, base=folder))
    hidden = stored_run(folder / "hidden", {CUP: [[Made(), Made(latents="B")]]})
    yield judge(compare_repeats(hidden, limits=[limit("identical", equals=1)], base=folder))
    mixed = stored_run(folder / "mixed", {CUP: processes("AAA"), CAT: processes("AA")})
    yield judge(compare_repeats(mixed, limits=[], base=folder))
    noisy = stored_run(folder / "noisy", {CUP: [[Made(), Made(noise="another noise")]]})
    yield judge(compare_repeats(noisy, limits=[], base=folder))
    outside = Arm(name="outside", noise=NoiseMode.UNVERIFIED)
    yield judge(compare_repeats(one_case(folder / "outside", "AA", planned={"arm": outside}), limits=[], base=folder))


def references(folder: Path) -> Iterator[Comparison]:
    """Candidates against references: broken limits of every kind, other inputs, missing cases, failures."""
    mine = stored_run(folder / "npu", {CUP: processes("B"), CAT: processes("C")})
    theirs = stored_run(folder / "cpu", {CUP: processes("A"), CAT: processes("A")})
    made = compare_runs(mine, theirs, limits=[], base=folder)
    evidence = Evidence(
        date=TODAY, device="cpu", samples=8, seeds=[1, 2], cases=["cup"], worst=90, rule="seen", margin=5
    )
    subjects = ("image", "float_image", "latents", "conversion")
    limits = [
        *(limit("max_abs_diff", Scope.REFERENCE, at_most=0.001, subject=each) for each in subjects[:3]),
        limit("signed_mean_diff", Scope.REFERENCE, at_least=-9, subject="conversion"),
        limit("psnr_db", Scope.REFERENCE, at_least=99),
        limit("identical", Scope.REFERENCE, equals=1, arm="cpu", device="cpu"),
        limit("worst_block_diff", Scope.REFERENCE, at_most=200, device="cpu", evidence=evidence),
        limit("worst_window_count", Scope.REFERENCE, at_most=0),
        limit("ssim_tile_min", Scope.REFERENCE, at_least=1),
    ]
    excuse = test_overlays_and_waivers.waiver
    yield judge(made, limits)
    for each in limits:
        yield judge(made, [each])
    yield judge(made, limits, [excuse(metric="max_abs_diff", arm="cpu")])
    yield judge(made, limits, [excuse(case="cup")])
    yield judge(made, limits, [excuse()])
    yield judge(made, limits, [excuse(expires=TODAY - timedelta(days=1))])
    yield judge(made, [limit("never_measured", Scope.REFERENCE, at_least=1)])
    tiny = [stored_run(folder / f"tiny-{name.lower()}", {CUP: [[replace(letter(name), side=8)]]}) for name in "AB"]
    yield judge(compare_runs(*tiny, limits=[limit("ssim", Scope.REFERENCE, at_least=1)], base=folder))
    table = Schedule(timesteps=[3.0, 2.0, 1.0], sigmas=[1.0, 0.5, 0.0])
    unlike: list[tuple[Made, dict[str, Any]]] = [
        (Made(noise="another noise"), {}),
        (Made(hidden_draws=("torch.randn",)), {}),
        (Made(schedule=table), {}),
        (Made(schedule=table.model_copy(update={"timesteps": [9.0, 2.0, 1.0]})), {}),
        (Made(), {"planned": {"steps": 4, "width": 64, "guidance_scale": 1.5}}),
        (Made(), {"model": model_identity("other")}),
        (Made(), {"planned": {"arm": Arm(name="own", noise=NoiseMode.DEVICE)}}),
        (Made(), {"planned": {"arm": Arm(name="outside", noise=NoiseMode.UNVERIFIED)}}),
        (Made(), {"failures": [failure()]}),
        (Made(), {"failures": [failure(), failure()]}),
        (Made(), {"keys": [CUP, CAT]}),
    ]
    for number, (one, changes) in enumerate(unlike):
        other = single(folder / f"other-{number}", one, **changes)
        plain = single(folder / f"plain-{number}", Made(schedule=table.model_copy(update={"sigmas": [2.0, 0.5, 0.0]})))
        for pair in ((other, plain), (plain, other)):
            yield judge(compare_runs(*pair, limits=[], base=folder))
    outside = [
        single(folder / f"outside-{name}", planned={"arm": Arm(name=name, noise=NoiseMode.UNVERIFIED)}) for name in "ab"
    ]
    yield judge(compare_runs(*outside, limits=[], base=folder))
    yield judge(compare_runs(mine, single(folder / "fewer"), limits=[], base=folder))
    yield judge(made.model_copy(update={"pairs": []}))


def models(folder: Path) -> Iterator[Comparison]:
    """Models that differ in every way, on purpose and not, and one that does not although it may."""
    plain = {"vae/config.json": {"a": 1}, "merges.txt": "a b", "unet/config.json": {"depth": 1}}
    many = {"b.json": {str(number): number for number in range(9)}, **{f"{name}.txt": name for name in "cdefg"}}
    others: list[dict[str, Any]] = [
        {**plain, "merges.txt": "a c"},
        {**plain, "vae/config.json": {"a": 2}, "unet/config.json": {"depth": 2, "more": 1}},
        {"vae/config.json": {"a": 1}, "unet/config.json": {"depth": 1}},
        {**plain, "vae/extra.json": {}},
        {**plain, "a.txt": "a", "b.txt": "b", "c.txt": "c", "d.txt": "d"},
        {**plain, **many},
        plain,
    ]
    table = Schedule(timesteps=[3.0, 2.0, 1.0], sigmas=[1.0, 0.5, 0.0])
    keys = {CUP: [[Made(schedule=table)]], CAT: [[Made(picture="B", schedule=table)]]}
    moved = table.model_copy(update={"sigmas": [2.0, 0.5, 0.0]})
    for number, files in enumerate(others):
        expected = stored_run(folder / f"expected-{number}", keys, model=model_of(plain))
        for meant in ({}, {"model": "Only for this test."}):
            made = {key: [[replace(each[0][0], schedule=moved)]] for key, each in keys.items()} if meant else keys
            place = folder / f"actual-{number}-{len(meant)}"
            actual = stored_run(place, made, model=model_of(files), planned={"differs_in": meant})
            yield judge(compare_runs(actual, expected, limits=[], base=folder))
    old = stored_run(folder / "old", keys, model=model_identity("other"))
    yield judge(compare_runs(actual, old, limits=[], base=folder))
    yield judge(compare_runs(old, actual, limits=[], base=folder))


def baselines(folder: Path) -> Iterator[Comparison]:
    """Candidates against baselines: absent ones, those of an edited scenario, and of another environment."""
    candidate = single(folder / "candidate")
    wanted = Arm(name="cpu", role=Role.REFERENCE, baseline=True)
    yield judge(missing_baseline(candidate, wanted, "", limits=[], base=folder))
    run = stored_run(folder / "made", {CUP: [[letter("A"), letter("B")]]})
    kept = test_baselines.accepted(run, folder / "baselines", modes=True)
    now = environment().model_copy(update={"packages": {"torch": "2.9.0"}, "device_name": "Other CPU"})
    edited = stored_run(
        folder / "edited", {CUP: processes("C")}, planned={"scenario_digest": sha("edited")}, environment=now
    )
    yield judge(compare_runs(edited, kept, limits=[limit("psnr_db", Scope.REFERENCE, at_least=90)], base=folder))


def ratios(folder: Path) -> Iterator[Comparison]:
    """Dual benchmarks with and without something to divide by."""
    limits = [test_dual.cap(40), test_dual.ratio(2)]
    broken: list[dict[str, Any]] = [{}, {"failures": [failure()]}, {"model": model_identity("other")}]
    for number, changes in enumerate(broken):
        made = test_dual.compared(folder / str(number), "K", "B", **changes)
        yield judge(made, limits)
    yield judge(made.model_copy(update={"yardsticks": []}), limits)
    yield judge(test_dual.compared(folder / "floor", "KK", "AA"), limits)


def parities(folder: Path) -> Iterator[Comparison]:
    """Scores of two arms with every outcome."""
    values: list[tuple[list[float | None], list[float | None]]] = [
        ([1, 0] * 8, [0, 1] * 8),
        ([0] * 12, [1] * 12),
        ([*[1] * 30, None], [*[1] * 30, None]),
        ([*[1] * 30, None], [1] * 31),
        ([None] * 3, [None] * 3),
        ([0.5] * 3, [1] * 3),
    ]
    for number, (mine, theirs) in enumerate(values):
        yield judge(test_parity.compared(folder / str(number), mine, theirs))
    yield judge(test_parity.compared(folder / "spec", [1] * 3, [1] * 3, spec="spec:2"))


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("records", [repeats, references, models, baselines, ratios, parities])
def test_sentences_of_real_records_are_said_in_the_reader_s_language(
    records: Callable[[Path], Iterator[Comparison]], code: str, tmp_path: Path
) -> None:
    made = {text for comparison in records(tmp_path) for text in written(comparison) if text}
    assert len(made) >= 5, "there has to be something to translate"
    assert {text: left for text in sorted(made) if (left := left_in_english(text, code))} == {}


@pytest.mark.parametrize("code", OTHERS)
def test_every_kind_of_hint_is_said_in_the_reader_s_language(code: str) -> None:
    expected = test_hints.photograph("chelsea")
    seen: list[Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = [
        *(make for make, *_ in test_hints.SEEN.values()),
        np.zeros_like,
        lambda _: test_hints.photograph("coffee"),
    ]
    found = [hint for make in seen for hint in hints(make(expected), expected)]
    assert {hint.name for hint in found} >= {"offset", "negative", "channels", "shift", "tone", "one-place", "flat"}
    with spoken(code):
        assert all(translated(hint.message) != hint.message for hint in found)
    assert [hint for hint in found if left_in_english(hint.message, code) or left_in_english(hint.where, code)] == []


def test_a_list_of_cases_is_said_one_by_one() -> None:
    text = recorded(
        "the two sides hold different cases: missing {missing}; unexpected {unexpected}",
        missing=listed([CUP, CAT]),
        unexpected="none",
    )
    assert text == "the two sides hold different cases: missing cup, seed 42, cat, seed 42; unexpected none"
    with spoken("zh"):
        assert translated(text) == "两侧的用例不同：缺失 cup，种子 42、cat，种子 42；多余 无"


def test_a_sentence_that_was_not_recorded_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        comparability,
        "noise_differences",
        lambda key, *_: [f"{key}: somebody wrote this by hand"],
    )
    one, other = single(tmp_path / "one"), single(tmp_path / "other")
    made = judge(compare_runs(one, other, limits=[], base=tmp_path))
    assert [left for text in written(made) for left in left_in_english(text, "zh")] != []


def test_what_a_library_said_stays_as_it_is() -> None:
    said = "planted: out of memory; tried to allocate 2.00 GiB"
    text = recorded("{stage} failed: {error}: {message!s}", stage="generate", error="RuntimeError", message=said)
    with spoken("zh"):
        assert translated(said) == said
        assert translated(text).endswith(f"RuntimeError：{said}")
