"""Every band has a pair of photographs that falls into it, and just beyond each of its bounds one that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from harness.compare.appearance import BANDS, appearance
from harness.compare.comparator import measure
from harness.compare.structure import structure
from harness.records import Appearance, Measurement
from tests.compare.base_pictures import base
from tests.compare.test_hints import garbage, levels, noisy, photograph, with_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]


def seen(actual: Picture, expected: Picture) -> Appearance | None:
    found = measure(actual, expected, subject="image", metrics=plugins.names("metrics"))
    return appearance(found, structure(actual, expected))


def psnr_db(actual: Picture, expected: Picture) -> float:
    (found,) = measure(actual, expected, subject="image", metrics=["psnr_db"])
    assert found.value is not None
    return found.value


def one_level_up(picture: Picture) -> Picture:
    return with_part(picture, slice(100, 200), slice(100, 200), levels(picture[100:200, 100:200] + 1.0))


def few_values_far_off(picture: Picture) -> Picture:
    """About 55 dB, in few places."""
    changed = picture.copy()
    changed[::61, ::61] = levels(changed[::61, ::61] + 30.0)
    return changed


def one_percent_off(picture: Picture) -> Picture:
    generator = np.random.default_rng(3)
    step = generator.choice([-1, 1], picture.shape) * (generator.random(picture.shape) < 0.01)
    return levels(picture.astype(int) + step)


def all_off_by_one(picture: Picture) -> Picture:
    return levels(picture.astype(int) + np.random.default_rng(3).choice([-1, 1], picture.shape))


@pytest.mark.parametrize(
    ("change", "band"),
    [
        (lambda picture: picture.copy(), Appearance.IDENTICAL),
        (one_percent_off, Appearance.CODE_NOISE),
        (all_off_by_one, Appearance.LOSSLESS),
        (lambda picture: noisy(picture, 1.5), Appearance.SAME_PICTURE),
        (lambda picture: levels(picture.astype(int) + 5), Appearance.SAME_COMPOSITION),
        (lambda picture: noisy(picture, 25), Appearance.DRIFTED),
        (lambda picture: np.ascontiguousarray(picture[:, :, ::-1]), Appearance.DRIFTED),
        (lambda picture: 255 - picture, Appearance.DIFFERENT),
        (lambda picture: np.ascontiguousarray(picture[:, ::-1]), Appearance.DIFFERENT),
        (one_level_up, Appearance.LOSSLESS),
        (few_values_far_off, Appearance.SAME_PICTURE),
        (lambda picture: all_off_by_one(few_values_far_off(picture)), Appearance.SAME_PICTURE),
        (lambda picture: levels(picture * 0.6), Appearance.DRIFTED),
        (lambda picture: garbage(*picture.shape), Appearance.DIFFERENT),
        (np.zeros_like, Appearance.DIFFERENT),
        (lambda picture: with_part(picture, slice(16, 32), slice(16, 32)), Appearance.SAME_COMPOSITION),
    ],
)
def test_known_disturbances(change: Callable[[Picture], Picture], band: Appearance) -> None:
    expected = photograph("astronaut")
    assert seen(change(expected), expected) is band


@pytest.mark.parametrize(
    ("actual", "expected"), [("astronaut", "coffee"), ("coffee", "chelsea"), ("chelsea", "astronaut")]
)
def test_dim_pictures_of_other_things_are_different_for_all_their_psnr(actual: str, expected: str) -> None:
    mine, theirs = (levels(100 + 0.15 * photograph(name)) for name in (actual, expected))
    assert psnr_db(mine, theirs) > 18
    assert seen(mine, theirs) is Appearance.DIFFERENT


def test_a_ground_without_structure_is_held_to_psnr() -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert structure(noisy(flat, 20), flat) is None
    assert seen(noisy(flat, 20), flat) is Appearance.DRIFTED
    assert seen(noisy(flat, 60), flat) is Appearance.DIFFERENT


KEPT = {
    "identical": 0.0,
    "psnr_db": 70.0,
    "max_abs_diff": 1.0,
    "ssim": 0.999,
    "worst_block_diff": 0.2,
}


def measured(values: Mapping[str, float | None]) -> list[Measurement]:
    higher = {"psnr_db", "ssim"}
    return [
        Measurement(
            metric=name,
            subject="image",
            value=value,
            unit="",
            better="higher" if name in higher else "lower",
            spec="",
        )
        for name, value in values.items()
    ]


def band_of(values: Mapping[str, float | None]) -> Appearance | None:
    return appearance(
        measured({name: value for name, value in values.items() if name != "structure"}), values.get("structure", 0.9)
    )


def test_the_best_band_needs_all_its_bounds() -> None:
    assert band_of(KEPT) is Appearance.CODE_NOISE


@pytest.mark.parametrize("number", range(len(BANDS)))
def test_each_bound_of_a_band_is_needed(number: int) -> None:
    band = BANDS[number]
    bounds = {**band.at_least, **band.at_most}
    # Beyond every bound of the bands before it, so that this band is the one that is asked.
    worse = {"psnr_db": 5.0, "max_abs_diff": 99.0, "ssim": 0.5, "worst_block_diff": 50.0, "identical": 0.0}
    at_bound = {**worse, **bounds}
    assert band_of(at_bound) is band.appearance
    for name, bound in bounds.items():
        beyond = bound - 1e-6 if name in band.at_least else bound + 1e-6
        assert band_of({**at_bound, name: beyond}) is not band.appearance


@pytest.mark.parametrize("name", [name for name in KEPT if name != "identical"])
def test_a_metric_without_a_value_leaves_no_band(name: str) -> None:
    assert appearance(measured({**KEPT, name: None}), 0.9) is None
    assert appearance([each for each in measured(KEPT) if each.metric != name], 0.9) is None


# --- a law: damage that is added never makes the band better ---------------------------------------------------------

ORDER = list(Appearance)


def grown(delta: NDArray[np.int_], more: NDArray[np.int_]) -> NDArray[np.int_]:
    """Damage in the direction that there is already, so that nothing is mended."""
    return np.where(delta, np.sign(delta) * (abs(delta) + abs(more)), more)


@st.composite
def damages(draw: st.DrawFn, shape: tuple[int, ...]) -> NDArray[np.int_]:
    """Levels more or less, of one kind: everywhere, in one place, here and there, in rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = draw(st.sampled_from([1, 2, 3, 5, 9, 20, 60, 150]))
    delta = random.integers(-most, most + 1, shape)
    kind = draw(st.sampled_from(["all", "signs", "place", "few", "rows", "offset"]))
    if kind == "signs":
        delta = random.choice([-most, most], shape)
    if kind == "offset":
        delta = np.full(shape, most)
    if kind == "place":
        top, left, side = (draw(st.integers(0, 80)) for _ in range(3))
        inside = np.zeros(shape, bool)
        inside[top : top + side + 1, left : left + side + 1] = True
        delta = np.where(inside, delta, 0)
    if kind == "few":
        delta = np.where(random.random(shape) < draw(st.sampled_from([0.0005, 0.01, 0.2])), delta, 0)
    if kind == "rows":
        delta[np.arange(shape[0]) % draw(st.sampled_from([2, 7, 30])) > 0] = 0
    return delta


@pytest.mark.parametrize("name", ["photo-like", "night", "text", "gradients", "chelsea, a part"])
@given(data=st.data())
@settings(max_examples=60, derandomize=True)
def test_damage_that_is_added_never_makes_the_band_better(name: str, data: st.DataObject) -> None:
    # Not black or white anywhere, so that all of the damage arrives.
    expected = levels(60 + 0.5 * base(name)[:128, :160])
    delta, before = np.zeros(expected.shape, int), Appearance.IDENTICAL
    for _ in range(3):
        delta = grown(delta, data.draw(damages(expected.shape)))
        after = seen(levels(expected + delta), expected)
        assert after is not None
        assert ORDER.index(after) >= ORDER.index(before)
        before = after
