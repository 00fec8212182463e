"""Every band has a pair of photographs that falls into it, and just beyond each of its bounds one that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import plugins
from harness.compare.appearance import BANDS, appearance
from harness.compare.comparator import measure
from harness.records import Appearance, Measurement
from tests.compare.test_hints import garbage, levels, noisy, photograph, with_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]


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
        (lambda picture: np.ascontiguousarray(picture[:, :, ::-1]), Appearance.DIFFERENT),
        (lambda picture: garbage(*picture.shape), Appearance.DIFFERENT),
        (np.zeros_like, Appearance.DIFFERENT),
        (lambda picture: with_part(picture, slice(16, 32), slice(16, 32)), Appearance.SAME_COMPOSITION),
    ],
)
def test_known_disturbances(change: Callable[[Picture], Picture], band: Appearance) -> None:
    expected = photograph("astronaut")
    found = measure(change(expected), expected, subject="image", metrics=plugins.names("metrics"))
    assert appearance(found) is band


KEPT = {
    "identical": 0.0,
    "psnr_db": 70.0,
    "max_abs_diff": 1.0,
    "ssim": 0.999,
    "worst_block_diff": 0.2,
    "signed_mean_diff": 0.01,
}


def measured(values: Mapping[str, float | None], *, median: float = 0.1) -> list[Measurement]:
    higher = {"psnr_db", "ssim"}
    return [
        Measurement(
            metric=name,
            subject="image",
            value=value,
            unit="",
            better="higher" if name in higher else "lower",
            spec="",
            parts={"median": median} if name == "worst_block_diff" else {},
        )
        for name, value in values.items()
    ]


def test_the_best_band_needs_all_its_bounds() -> None:
    assert appearance(measured(KEPT)) is Appearance.CODE_NOISE


@pytest.mark.parametrize(("band", "number"), [(band, number) for number, band in enumerate(BANDS[:-1])])
def test_each_bound_of_a_band_is_needed(band: Any, number: int) -> None:
    bounds = {**band.at_least, **band.at_most}
    median = bounds.pop("worst over median block", None)
    at_bound = measured({**KEPT, **bounds}, median=0.1)
    assert appearance(at_bound) is band.appearance or number == 0
    for name, bound in bounds.items():
        beyond = bound - 1e-6 if name in band.at_least else bound + 1e-6
        assert appearance(measured({**KEPT, **bounds, name: beyond}, median=0.1)) is not band.appearance
        if name == "signed_mean_diff":
            assert appearance(measured({**KEPT, **bounds, name: -beyond}, median=0.1)) is not band.appearance
    if median is not None:
        one_block = {**KEPT, **bounds, "worst_block_diff": 0.1 * median + 1e-6}
        assert appearance(measured(one_block, median=0.1)) is not band.appearance
        assert appearance(measured(one_block, median=0.0)) is not band.appearance


@pytest.mark.parametrize("name", [name for name in KEPT if name != "identical"])
def test_a_metric_without_a_value_leaves_no_band(name: str) -> None:
    assert appearance(measured({**KEPT, name: None})) is None
    assert appearance([each for each in measured(KEPT) if each.metric != name]) is None
