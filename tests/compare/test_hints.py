"""Each hint has pictures that must bring it up and pictures, near misses among them, that must not."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter

from harness.compare.comparator import compare_repeats, compare_runs
from harness.compare.hints import hints
from harness.compare.structure import structure
from harness.records import Comparison, from_json, to_json
from tests.compare.stored_runs import Made, one_case, single

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Change = Callable[[Picture], Picture]

PHOTOGRAPHS = ["astronaut", "chelsea", "coffee"]


@cache
def photograph(name: str) -> Picture:
    whole = np.asarray(getattr(skimage.data, name)(), dtype=np.uint8)
    return np.asarray(whole[:299, :444].copy(), dtype=np.uint8)


def levels(values: NDArray[Any]) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def noisy(picture: Picture, sigma: float) -> Picture:
    return levels(picture + np.random.default_rng(1).normal(0, sigma, picture.shape))


def garbage(*shape: int) -> Picture:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def with_part(picture: Picture, rows: slice, columns: slice, values: Picture | int | None = None) -> Picture:
    changed = picture.copy()
    part = changed[rows, columns]
    changed[rows, columns] = garbage(*part.shape) if values is None else values
    return changed


def with_frame(picture: Picture, depth: int) -> Picture:
    framed = np.zeros_like(picture)
    framed[depth:-depth, depth:-depth] = picture[depth:-depth, depth:-depth]
    return framed


def with_value(picture: Picture, change: int) -> Picture:
    changed = picture.copy()
    changed[7, 5, 1] ^= change
    return changed


def between_levels(picture: Picture) -> NDArray[np.float64]:
    return np.clip(picture + np.random.default_rng(3).uniform(-0.5, 0.5, picture.shape), 0, 255)


def ramp(height: int = 128, width: int = 192, slope: float = 0.5) -> Picture:
    row = slope * np.arange(width)[None, :] + 0.3 * np.arange(height)[:, None]
    return levels(np.dstack([row, row + 20, row + 40]))


def names(actual: Picture, expected: Picture) -> list[str]:
    return [hint.name for hint in hints(actual, expected)]


# --- what must bring a hint up ---------------------------------------------------------------------------------------

SEEN: dict[str, tuple[Change, str, str]] = {
    # change: (what is done, name of the hint, what it must say)
    "right": (lambda it: np.roll(it, 1, axis=1), "shift", "a shift by 1 px right: "),
    "left": (lambda it: np.roll(it, -2, axis=1), "shift", "a shift by 2 px left: "),
    "down": (lambda it: np.roll(it, 2, axis=0), "shift", "a shift by 2 px down: "),
    "up and right": (lambda it: np.roll(it, (-1, 2), axis=(0, 1)), "shift", "a shift by 2 px right and 1 px up: "),
    "shifted, with noise": (lambda it: noisy(np.roll(it, 2, axis=1), 2), "shift", "2 px right"),
    "BGR": (lambda it: it[..., ::-1], "channels", "red holds blue, blue holds red; put back the RMS error falls from"),
    "turned channels": (
        lambda it: np.roll(it, 1, axis=2),
        "channels",
        "red holds blue, green holds red, blue holds green",
    ),
    "green and blue, with noise": (lambda it: noisy(it[..., [0, 2, 1]], 3), "channels", "green holds blue, blue holds"),
    "brighter": (lambda it: levels(it + 10.0), "offset", "a constant offset: red +"),
    "blue darker": (lambda it: levels(it - np.array([0, 0, 6.0])), "offset", "red +0.00, green +0.00, blue -5."),
    "negative": (lambda it: 255 - it, "negative", "turned back the RMS error falls from"),
    "negative, with noise": (lambda it: noisy(255 - it, 5), "negative", "the negative"),
    "black": (np.zeros_like, "flat", "every pixel is 0, 0, 0"),
    "gamma": (lambda it: levels(255 * (it / 255) ** (1 / 2.2)), "tone", "0 became 0, "),
    "video range": (lambda it: levels(16 + it * (219 / 255)), "tone", "0 became 16, "),
    "half of it brighter": (
        lambda it: with_part(it, slice(None), slice(222, None), levels(it[:, 222:] + 9.0)),
        "tiles",
        "2 tiles with seams at x=222",
    ),
    "each channel its own gain": (lambda it: levels(it * np.array([1.2, 0.9, 0.7])), "scaled-channels", "red by 1.2"),
    "noise 64": (lambda it: noisy(it, 64), "noise", "noise over the whole picture: RMS 5"),
    "shifted by four": (lambda it: np.roll(it, 4, axis=1), "shift", "4 px right: "),
    "half range": (lambda it: levels(127.5 + it / 2), "tone", "0 became 128, "),
    "a tile": (lambda it: with_part(it, slice(40, 72), slice(96, 160)), "one-place", "in 64 x 32 px"),
    "a tile, with noise": (
        lambda it: noisy(with_part(it, slice(40, 72), slice(96, 160)), 1),
        "one-place",
        "64 x 32 px",
    ),
    "a white tile": (lambda it: with_part(it, slice(9, 29), slice(33, 53), 255), "one-place", "in 20 x 20 px"),
    "a stripe": (lambda it: with_part(it, slice(100, 104), slice(None)), "one-place", "in 444 x 4 px"),
    "one pixel": (lambda it: with_value(it, 255), "one-place", "100.0% of the squared error lies in 1 x 1 px"),
    "last rows": (lambda it: with_part(it, slice(-4, None), slice(None)), "border", "within 4 px of the edge (bottom)"),
    "first column": (lambda it: with_part(it, slice(None), slice(1)), "border", "within 1 px of the edge (left)"),
    "frame": (lambda it: with_frame(it, 3), "border", "within 4 px of the edge (top, bottom, left, right)"),
}


@pytest.mark.parametrize("change", SEEN)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_cause_is_recognised_and_no_other_is_named(name: str, change: str) -> None:
    make, hint, says = SEEN[change]
    expected = photograph(name)
    (found,) = hints(make(expected), expected)
    assert found.name == hint
    assert found.message.startswith("looks like ")
    assert says in found.message


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_truncation_is_recognised_on_either_side(name: str) -> None:
    exact = between_levels(photograph(name))
    cut, rounded = np.floor(exact).astype(np.uint8), levels(exact)
    (found,) = hints(cut, rounded)
    assert found.name == "truncation"
    assert "on the actual side where the expected side rounds" in found.message
    assert "one level lower" in found.message
    (other,) = hints(rounded, cut)
    assert "on the expected side where the actual side rounds" in other.message
    assert "one level higher" in other.message


@pytest.mark.parametrize("actual", PHOTOGRAPHS)
@pytest.mark.parametrize("expected", PHOTOGRAPHS)
def test_another_picture_is_told_from_the_same_one(actual: str, expected: str) -> None:
    assert names(photograph(actual), photograph(expected)) == ([] if actual == expected else ["other-picture"])


@pytest.mark.parametrize("side", [32, 64, 96, 300])
def test_other_noise_is_another_picture(side: int) -> None:
    coarse = np.random.default_rng(side).uniform(0, 255, (2, 8, 8, 3))
    blocks = (Image.fromarray(levels(each)).resize((side, side), Image.Resampling.BILINEAR) for each in coarse)
    actual, expected = (noisy(np.asarray(each, dtype=np.uint8), 10) for each in blocks)
    assert names(actual, expected) == ["other-picture"]


PLACES = {
    "a tile": "x=96..159 y=40..71",
    "a stripe": "x=0..443 y=100..103",
    "one pixel": "x=5..5 y=7..7",
    "last rows": "bottom",
}


@pytest.mark.parametrize("change", PLACES)
def test_a_place_is_named(change: str) -> None:
    expected = photograph("coffee")
    (found,) = hints(SEEN[change][0](expected), expected)
    assert found.where == PLACES[change]


OPPOSITE = {"right": "1 px left", "up and right": "2 px left and 1 px down", "brighter": "red -", "gamma": "became"}


@pytest.mark.parametrize("change", OPPOSITE)
def test_the_direction_is_that_of_the_actual_picture(change: str) -> None:
    expected = photograph("coffee")
    make, hint, _ = SEEN[change]
    (found,) = hints(expected, make(expected))
    assert found.name == hint
    assert OPPOSITE[change] in found.message


# --- what must not ---------------------------------------------------------------------------------------------------

UNSEEN: dict[str, Change] = {
    "nothing": lambda it: it.copy(),
    "noise 1": lambda it: noisy(it, 1),
    "noise 8": lambda it: noisy(it, 8),
    "one level either way": lambda it: levels(it + np.random.default_rng(0).integers(-1, 2, it.shape).astype(float)),
    "one level up in one value of a hundred": lambda it: levels(
        it + (np.random.default_rng(0).uniform(size=it.shape) < 0.01).astype(float)
    ),
    "two flips far apart": lambda it: with_value(with_value(it, 1)[::-1, ::-1], 1)[::-1, ::-1],
    "two flips close together": lambda it: np.roll(
        with_value(np.roll(with_value(it, 1), (9, 9), axis=(0, 1)), 1), (-9, -9), axis=(0, 1)
    ),
    "blur": lambda it: np.asarray(Image.fromarray(it).filter(ImageFilter.GaussianBlur(1.5)), dtype=np.uint8),
    "shifted by seventeen": lambda it: np.roll(it, 17, axis=1),
    "shifted by half a pixel": lambda it: levels((it.astype(float) + np.roll(it, 1, axis=1)) / 2),
    "mirrored in part": lambda it: with_part(it, slice(60, 240), slice(100, 340), it[60:240, 100:340][:, ::-1].copy()),
    "one channel moved far": lambda it: np.dstack([it[..., 0], it[..., 1], np.roll(it[..., 2], 40, axis=1)]),
}


@pytest.mark.parametrize("change", UNSEEN)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_other_differences_bring_no_hint_up(name: str, change: str) -> None:
    expected = photograph(name)
    assert hints(UNSEEN[change](expected), expected) == []


@pytest.mark.parametrize("picture", ["ramp", "flat"])
@pytest.mark.parametrize("sigma", [0.4, 1, 4])
def test_smooth_and_flat_pictures_with_noise_bring_no_hint_up(picture: str, sigma: float) -> None:
    expected = ramp() if picture == "ramp" else np.full((64, 64, 3), 128, np.uint8)
    actual = noisy(expected, sigma)
    assert not np.array_equal(actual, expected)
    assert hints(actual, expected) == []


def test_what_a_smooth_picture_cannot_tell_apart_gets_the_simplest_name() -> None:
    """A ramp moved along its slope and a brighter ramp are the same picture."""
    expected = np.dstack([np.tile(np.arange(200, dtype=np.uint8), (64, 1))] * 3)
    assert names(expected + np.uint8(2), expected) == ["offset"]
    assert names(np.full((64, 64, 3), 9, np.uint8), np.full((64, 64, 3), 200, np.uint8)) == ["offset"]


def test_a_flat_picture_shows_no_curve() -> None:
    expected = np.full((64, 64, 3), 100, np.uint8)
    assert hints(noisy(expected + np.uint8(50), 5), expected) == []


def test_grey_pictures_have_no_channels_to_swap() -> None:
    grey = np.dstack([photograph("coffee")[..., 1]] * 3)
    assert hints(grey[..., ::-1], grey) == []
    assert hints(noisy(grey, 3), grey) == []


def test_a_stripe_of_truncation_is_none() -> None:
    """One level down in half of the values, but all in one half of the picture."""
    expected = photograph("chelsea").clip(1)
    assert names(with_part(expected, slice(150), slice(None), expected[:150] - 1), expected) == ["tiles"]


@pytest.mark.parametrize("sigma", [0, 16, 64])
def test_an_inaccurate_photograph_keeps_its_structure(sigma: float) -> None:
    """What the bound for another picture rests on."""
    for name in PHOTOGRAPHS:
        kept = structure(noisy(photograph(name), sigma), photograph(name))
        assert kept is not None
        assert kept > 0.9


@given(st.data(), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=150, derandomize=True)
def test_pictures_of_any_size_have_hints_or_none_and_no_warning(data: st.DataObject, height: int, width: int) -> None:
    pictures = arrays(np.uint8, (height, width, 3), elements=st.sampled_from([0, 1, 128, 254, 255]))
    actual, expected = data.draw(pictures), data.draw(pictures)
    for hint in hints(actual, expected):
        assert hint.message.startswith("looks like ")
        assert "nan" not in hint.message
    if height * width < 256 or np.array_equal(actual, expected):
        assert hints(actual, expected) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 300), (300, 1), (15, 17), (16, 16)])
def test_tiny_and_thin_pictures_raise_nothing(shape: tuple[int, int]) -> None:
    actual, expected = garbage(2, *shape, 3)
    assert hints(actual, expected) == []
    assert hints(expected, expected) == []


def test_the_pictures_stay_as_they_are() -> None:
    actual, expected = photograph("coffee")[::-1], photograph("coffee")[..., ::-1]
    before = actual.tobytes(), expected.tobytes()
    hints(actual, expected)
    assert (actual.tobytes(), expected.tobytes()) == before


# --- in a comparison -------------------------------------------------------------------------------------------------


def test_pairs_of_runs_carry_hints_where_their_pictures_differ(tmp_path: Path) -> None:
    expected = one_case(tmp_path / "cpu", "A")
    (pair,) = compare_runs(one_case(tmp_path / "npu", "B"), expected, limits=[], base=tmp_path).pairs
    # One square of 4 by 4 pixels is brighter.
    (hint,) = pair.hints
    assert hint.name == "one-place"
    assert "in 4 x 4 px" in hint.message
    (equal,) = compare_runs(one_case(tmp_path / "same", "A"), expected, limits=[], base=tmp_path).pairs
    assert equal.hints == []


def test_repeats_carry_hints_and_a_record_keeps_them(tmp_path: Path) -> None:
    comparison = compare_repeats(one_case(tmp_path / "npu", "AB"), limits=[], base=tmp_path)
    assert [[hint.name for hint in pair.hints] for pair in comparison.pairs] == [["one-place"]]
    assert from_json(Comparison, to_json(comparison), place="here") == comparison


def test_floats_that_differ_behind_equal_pictures_bring_no_hint_up(tmp_path: Path) -> None:
    actual = single(tmp_path / "npu", Made(float_image="B"))
    (pair,) = compare_runs(actual, single(tmp_path / "cpu"), limits=[], base=tmp_path).pairs
    assert not pair.identical
    assert pair.hints == []


@pytest.mark.parametrize("shape", [(14, 19), (15, 64), (64, 15), (8, 200)])
def test_strong_noise_on_a_picture_smaller_than_a_block_raises_nothing(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    expected = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    actual = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert all(hint.name != "noise" for hint in hints(actual, expected))
