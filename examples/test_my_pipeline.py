"""Pictures of a pipeline compared with accepted ones, by pytest.

The first time:  pytest examples --harness-accept --harness-reason "The first pictures; all were looked at."
From then on:    pytest examples
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import harness

if TYPE_CHECKING:
    from numpy.typing import NDArray


def my_pipeline(prompt: str, seed: int = 42) -> NDArray[np.uint8]:
    """Stands for yours: a seeded picture uint8[H, W, 3]; a tensor or an image of Pillow does as well."""
    rng = np.random.default_rng([seed, *prompt.encode()])
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


@pytest.mark.parametrize("prompt", ["a red cup", "a sign that says NPU"])
def test_the_picture_is_the_accepted_one(image_baseline: Any, prompt: str) -> None:
    # A function is called twice, and a picture that is not the same twice is refused.
    image_baseline.check(lambda: my_pipeline(prompt), psnr_db=40, ssim=0.98)


def test_two_ways_to_the_same_picture_are_close() -> None:
    picture = my_pipeline("a red cup")
    floats = picture.astype(np.float32) / 255
    harness.assert_close(floats, picture, data_range=(0, 1), psnr_db=40, max_abs_diff=1)
