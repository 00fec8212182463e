"""Local damage breaks the limits of the shipped scenarios, wherever it lies, and is named with its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import scenario
from harness.metrics import ssim_tile_min
from harness.records import Limit, Scope
from tests.command_line import ROOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, BLOCK = 512, 16
NAMES = ["tiny-npu", "tiny-npu-bfloat16", "deepgen-npu"]


def smooth_picture() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = [np.sin(6 * rows + channel) + np.cos(9 * columns - channel) for channel in range(3)]
    return np.asarray(127.5 + 60 * np.stack(waves, axis=-1), np.uint8)


def damaged(picture: NDArray[np.uint8], top: int, left: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(top * SIDE + left).integers(0, 256, (BLOCK, BLOCK, 3), dtype=np.uint8)
    spoilt = picture.copy()
    spoilt[top : top + BLOCK, left : left + BLOCK] = noise
    return spoilt


PICTURE = smooth_picture()


@pytest.fixture(scope="module", params=NAMES)
def limit(request: pytest.FixtureRequest) -> Limit:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPGEN_MODEL", "/models/DeepGen-1.0-diffusers")
        limits = scenario.load(ROOT / "scenarios" / f"{request.param}.yaml").scenario.limits
    (found,) = [each for each in limits if each.metric == "ssim_tile_min" and each.scope is Scope.REFERENCE]
    return found


@settings(max_examples=25)
@given(top=st.integers(0, SIDE - BLOCK), left=st.integers(0, SIDE - BLOCK))
def test_a_damaged_block_breaks_the_limit_and_is_named_with_its_place(limit: Limit, top: int, left: int) -> None:
    found = ssim_tile_min.measure(damaged(PICTURE, top, left), PICTURE, data_range=255.0)
    assert limit.at_least is not None
    assert found.value < limit.at_least
    x, x_end, y, y_end = map(int, re.findall(r"\d+", found.where))
    assert x - 5 <= left + BLOCK
    assert left <= x_end + 5
    assert y - 5 <= top + BLOCK
    assert top <= y_end + 5


def test_an_undamaged_picture_keeps_the_limit(limit: Limit) -> None:
    assert limit.at_least is not None
    assert ssim_tile_min.measure(PICTURE.copy(), PICTURE, data_range=255.0).value > limit.at_least
