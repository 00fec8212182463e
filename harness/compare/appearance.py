"""How alike two pictures look, in one word out of what was measured; a word for readers that judges nothing.

It says how a difference appears, never why it is there: truncation instead of rounding is a fault that nobody sees,
and rounding that a sampler amplifies is no fault and may change a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.compare.structure import UNRELATED
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
    Band(Appearance.LOSSLESS, {}, {"max_abs_diff": 2}),
    Band(Appearance.LOSSLESS, {"psnr_db": 48}, {"max_abs_diff": 8, "worst_block_diff": 2}),
    Band(Appearance.SAME_PICTURE, {"psnr_db": 38, "ssim": 0.98}, {"worst_block_diff": 15}),
    Band(Appearance.SAME_COMPOSITION, {"psnr_db": 28, "ssim": 0.9}, {}),
    Band(Appearance.DRIFTED, {"psnr_db": 10, "structure": UNRELATED}, {}),
)
"""The bands, from the most alike; the first whose bounds all hold is taken, and ``DIFFERENT`` where none does.

Chosen from what known disturbances score on photographs; none comes from a study with viewers. A perceptual metric
that would sharpen the upper ones is not among ours. Every bound gets harder to keep with damage that is added, so that
no damage leads to a better band. The worst block is therefore not compared with the others of the pair, which damage
enlarges: beside blocks that do not differ the least difference would stand out, and beside noisy ones a wrong tile
would not. It may reach 15 levels, 20 times what half precision leaves in a usual block.
"""

WITHOUT_STRUCTURE = Band(Appearance.DRIFTED, {"psnr_db": 18}, {})
"""In the place of the last band where the expected picture has no structure to keep."""


def appearance(measurements: Sequence[Measurement], structure: float | None) -> Appearance | None:
    """The band of two 8-bit pictures; None where a metric that decides it has no value.

    ``structure`` is what ``compare.structure`` gives for the two pictures.
    """
    value = {
        measurement.metric: abs(measurement.value) if measurement.better == "lower" else measurement.value
        for measurement in measurements
        if measurement.subject == "image" and measurement.value is not None
    }
    if value.get("identical") == 1:
        return Appearance.IDENTICAL
    if any(metric not in value for metric in _METRICS):
        return None
    bands = [*BANDS[:-1], WITHOUT_STRUCTURE]
    if structure is not None:
        value["structure"] = structure
        bands[-1] = BANDS[-1]
    return next((band.appearance for band in bands if _holds(band, value)), Appearance.DIFFERENT)


_METRICS = ("psnr_db", "max_abs_diff", "ssim", "worst_block_diff")


def _holds(band: Band, value: Mapping[str, float]) -> bool:
    return all(value[name] >= bound for name, bound in band.at_least.items()) and all(
        value[name] <= bound for name, bound in band.at_most.items()
    )
