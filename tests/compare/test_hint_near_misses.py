"""Each hint comes up for damage of its kind and stays away from what only resembles it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.compare.hints import ORDER, explained, hints
from harness.compare.hints.pictures import Pictures
from tests.compare import damage
from tests.compare.base_pictures import base, levels
from tests.compare.damage import garbage, jpeg, noisy, rolled, slid, with_channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.compare.damage import Change

    Picture = NDArray[np.uint8]

PICTURES = ["photo-like", "foliage", "chelsea, a part"]


def names(actual: Picture, expected: Picture) -> list[str]:
    return [hint.name for hint in hints(actual, expected)]


def one_row_noisy(it: Picture) -> Picture:
    """Every fourth row or so, at random: rows, and no pattern."""
    rows = damage.random(2).random(len(it)) < 0.25
    return levels(it + 8.0 * rows[:, None, None])


def partly_inverted(it: Picture) -> Picture:
    made = it.copy()
    made[:, ::2, 1] = 255 - it[:, ::2, 1]
    return made


def each_tile_mirrored(it: Picture) -> Picture:
    half = it.shape[1] // 2
    return np.concatenate([it[:, :half][:, ::-1], it[:, half:][:, ::-1]], axis=1)


def in_low_contrast(it: Picture) -> Picture:
    return levels(120 + it / 40)


NEAR: dict[str, tuple[Change, Change]] = {
    # name of the hint: (what brings it up, what resembles that and does not)
    "flat": (np.zeros_like, with_channel(0, np.zeros_like)),
    "faint": (lambda it: noisy(np.full_like(it, 127), 1.2), in_low_contrast),
    "only-noise": (lambda it: garbage(*it.shape), lambda it: noisy(it, 40)),
    "missing-channel": (with_channel(2, np.zeros_like), with_channel(2, lambda it: it % 2)),
    "offset": (lambda it: levels(it + 4.0), lambda it: levels(it + np.linspace(0, 12, it.shape[1])[None, :, None])),
    "negative": (lambda it: 255 - it, lambda it: np.where(it > 127, 255 - it, it)),
    "truncation": (damage.truncated, damage.few_off),
    "channels": (lambda it: it[..., [1, 0, 2]], lambda it: levels(it * 0.5 + it[..., [1, 0, 2]] * 0.5)),
    "inverted-channel": (with_channel(1, lambda it: 255 - it), partly_inverted),
    "mirrored": (lambda it: it[:, ::-1], each_tile_mirrored),
    "turned": (lambda it: it[::-1, ::-1], damage.turned_a_little),
    "grey": (damage.saturated(0), damage.saturated(0.2)),
    "colour-matrix": (damage.mixed(np.linalg.inv(damage.BT_709) @ damage.BT_601), damage.hue(8)),
    "scaled-channels": (lambda it: levels(it * [1, 0.9, 0.9]), lambda it: levels(it * 0.9)),
    "moved-channel": (with_channel(0, lambda it: np.roll(it, 5, axis=0)), rolled(0, 5)),
    "shift": (slid(16, -3), rolled(18, 0)),
    "border": (damage.framed(2), damage.with_part(slice(20, 22), slice(None))),
    "one-place": (damage.with_part(slice(30, 60), slice(30, 60)), damage.salted),
    "posterised": (lambda it: it & np.uint8(0xE0), damage.dithered),
    "tone": (lambda it: levels(255 * (it / 255) ** 1.5), lambda it: (it.astype(int) * 3 % 256).astype(np.uint8)),
    "colours": (damage.saturated(1.5), damage.darker_corners),
    "tiles": (damage.tiled(3), damage.clouded),
    "pattern": (damage.upsampled, one_row_noisy),
    "lossy": (jpeg(85), damage.by_pillow(lambda it: damage.through(it, "WEBP", 85))),
    "noise": (lambda it: noisy(it, 25), lambda it: noisy(it, 7)),
    "other-picture": (lambda it: levels(base("portrait", 5)[: it.shape[0], : it.shape[1]]), damage.lower_half_black),
}


@pytest.mark.parametrize("hint", NEAR)
@pytest.mark.parametrize("name", PICTURES)
def test_a_hint_comes_up_and_stays_away(hint: str, name: str) -> None:
    expected = base(name)[:256, :320]
    planted, near = NEAR[hint]
    assert names(planted(expected), expected) == [hint]
    assert hint not in names(near(expected), expected)


def test_a_square_picture_is_told_turned_from_transposed() -> None:
    expected = base("shapes")
    assert names(expected.swapaxes(0, 1), expected) == ["transposed"]
    assert names(expected[::-1, ::-1].swapaxes(0, 1), expected) == ["transposed"]
    assert names(np.rot90(expected, -1), expected) == ["turned"]


@pytest.mark.parametrize("side", ["actual", "expected"])
def test_the_lossy_side_is_named(side: str) -> None:
    whole = base("photo-like")
    actual, expected = (jpeg(80)(whole), whole) if side == "actual" else (whole, jpeg(80)(whole))
    (hint,) = hints(actual, expected)
    assert f"the {side} side went through JPEG" in hint.message


@pytest.mark.parametrize("change", ["blurred", "noise of 2 levels", "noise of 5 levels", "dithered", "salt and pepper"])
def test_other_damage_to_a_picture_that_went_through_jpeg_is_not_called_jpeg(change: str) -> None:
    (kind,) = (kind for kind in damage.KINDS if kind.name == change)
    for quality in (75, 90):
        expected = jpeg(quality)(base("photo-like"))
        assert hints(kind.change(expected), expected) == []


def test_both_sides_through_jpeg_are_not_lossy_against_lossless() -> None:
    whole = base("photo-like")
    assert "lossy" not in names(jpeg(75)(whole), jpeg(60)(whole))


@pytest.mark.parametrize("name", ["photo-like", "texture", "night"])
def test_a_picture_moved_far_is_not_another_one(name: str) -> None:
    expected = base(name)
    for right in (20, 28, 40):
        assert "other-picture" not in names(rolled(right, right // 2)(expected), expected)


def test_a_checkerboard_of_one_pixel_is_no_tone() -> None:
    """A sample of every second pixel would see one of its colours only."""
    expected = base("photo-like")
    for level in (2, 6, 30):
        (hint,) = hints(levels(expected + level * damage.board(expected)), expected)
        assert hint.name == "pattern"
        assert "a checkerboard" in hint.message


def test_every_test_in_the_order_is_made_and_gives_at_most_one_hint() -> None:
    made = {test.__name__ for test in ORDER}
    assert len(made) == len(ORDER)
    for pair in damage.planted(["night", "model: three rings"]):
        assert len(explained(Pictures(pair.actual, pair.expected))) <= 1


def test_figures_are_of_all_pixels() -> None:
    """What is said of the error before is the RMS error, whatever a sample of it would be."""
    expected = base("astronaut")
    actual = expected.copy()
    actual[1::2] = levels(255 * (actual[1::2] / 255) ** 0.7)
    actual[::2] = levels(255 * (actual[::2] / 255) ** 0.75)
    (hint,) = hints(actual, expected)
    assert hint.name == "tone"
    rms = float(np.sqrt(np.mean((actual.astype(float) - expected) ** 2)))
    assert f"fall from {rms:.2f} to" in hint.message
