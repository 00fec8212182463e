"""How alike two pictures look, in one word out of what was measured; a word for readers that judges nothing.

It says how a difference appears, never why it is there: truncation instead of rounding is a fault that nobody sees,
and rounding that a sampler amplifies is no fault and may change a picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from harness.records import Appearance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records import Measurement


class Band(NamedTuple):
    """What two pictures keep that look alike in this way."""

    appearance: Appearance
    at_least: Mapping[str, float]
    at_most: Mapping[str, float]


BANDS = (
    Band(Appearance.CODE_NOISE, {"psnr_db": 60}, {"max_abs_diff": 2, "worst_block_diff": 0.5}),
    Band(Appearance.LOSSLESS, {"psnr_db": 48}, {"max_abs_diff": 8, "worst_block_diff": 2, "signed_mean_diff": 0.1}),
    Band(Appearance.SAME_PICTURE, {"psnr_db": 38, "ssim": 0.98}, {"worst over median block": 20}),
    Band(Appearance.SAME_COMPOSITION, {"psnr_db": 28, "ssim": 0.9}, {}),
    Band(Appearance.DRIFTED, {"psnr_db": 18}, {}),
    Band(Appearance.DIFFERENT, {"psnr_db": -math.inf}, {}),
)
"""The bands, from the most alike; the first whose bounds all hold is taken.

Chosen from what known disturbances score on photographs; none comes from a study with viewers. A perceptual metric
that would sharpen the upper three is not among ours.
"""


def appearance(measurements: Sequence[Measurement]) -> Appearance | None:
    """The band of two 8-bit pictures; None where a metric that decides it has no value."""
    image = {each.metric: each for each in measurements if each.subject == "image"}
    value = {
        name: abs(each.value) if each.better == "lower" else each.value
        for name, each in image.items()
        if each.value is not None
    }
    if value.get("identical") == 1:
        return Appearance.IDENTICAL
    if "worst_block_diff" in value:
        worst, median = value["worst_block_diff"], image["worst_block_diff"].parts["median"]
        value["worst over median block"] = worst / median if median else math.inf
    if any(name not in value for band in BANDS for name in (*band.at_least, *band.at_most)):
        return None
    return next(
        band.appearance
        for band in BANDS
        if all(value[name] >= bound for name, bound in band.at_least.items())
        and all(value[name] <= bound for name, bound in band.at_most.items())
    )
