"""What two pictures of one size differ in, as pictures and counts: heat map, signed maps, levels of difference.

Heat maps use the colour map inferno, whose lightness rises evenly: black is equal, and a single level is already a
visible purple. Signed maps run from blue over white to orange, which every kind of colour vision tells apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.records import Measurement

LEVELS = 255
"""Largest difference of two 8-bit values."""

_FAINTEST = 70
"""Entry of inferno for the smallest difference; those before it are hard to tell from black."""
_SIGNED_SIDE = 256
"""Most pixels along a side of a signed map; a larger picture is averaged over blocks."""
_TOPS = (0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, LEVELS)
"""Where colour scales end: few values, so that two pairs often share one."""
_BLUE, _WHITE, _ORANGE = (0, 88, 160), (250, 250, 250), (196, 72, 0)
_WORST = ("ssim_tile_min", "worst_block_diff")
"""Metrics that name the worst place, the one that is believed first."""
_PLACE = re.compile(r"x=(\d+)\.\.(\d+) y=(\d+)\.\.(\d+)")


@dataclass(frozen=True, kw_only=True)
class Box:
    """Columns ``left`` to ``right`` and rows ``top`` to ``bottom`` of a picture, both ends included."""

    left: int
    right: int
    top: int
    bottom: int

    def grown(self, by: int, shape: Sequence[int]) -> Box:
        """The same with a margin, cut at the edges of a picture ``[H, W, 3]``."""
        height, width, *_ = shape
        return Box(
            left=max(self.left - by, 0),
            right=min(self.right + by, width - 1),
            top=max(self.top - by, 0),
            bottom=min(self.bottom + by, height - 1),
        )

    def cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the picture ``[H, W, 3]`` holds there."""
        return picture[self.top : self.bottom + 1, self.left : self.right + 1]


def worst_place(measurements: Sequence[Measurement], shape: Sequence[int]) -> tuple[str, Box] | None:
    """The metric that names the worst place of a picture ``[H, W, 3]``, and the place; None where none names one."""
    height, width, *_ = shape
    named = {measurement.metric: measurement.where for measurement in measurements if measurement.subject == "image"}
    for metric in _WORST:
        if match := _PLACE.search(named.get(metric, "")):
            left, right, top, bottom = map(int, match.groups())
            if left <= right < width and top <= bottom < height:
                return metric, Box(left=left, right=right, top=top, bottom=bottom)
    return None


def differences(actual: NDArray[np.uint8], expected: NDArray[np.uint8]) -> NDArray[np.int16]:
    """``actual - expected``, ``int16[H, W, 3]``."""
    return np.subtract(actual, expected, dtype=np.int16)


def counts(delta: NDArray[np.int16]) -> list[int]:
    """How many values differ by 0, 1, 2 ... levels, up to the largest difference."""
    return [int(count) for count in np.bincount(np.abs(delta).ravel())]


def scale_top(largest: float) -> float:
    """Where the colour scale ends for this largest difference.

    >>> scale_top(9), scale_top(0.2), scale_top(255)
    (12, 0.25, 255)
    """
    return next(top for top in _TOPS if top >= largest)


def heat(delta: NDArray[np.int16], most: int | None = None) -> tuple[NDArray[np.uint8], int]:
    """Heat map ``uint8[H, W, 3]`` of the largest absolute difference of the channels, and where its scale ends.

    With ``most`` no side is longer than that: a point then stands for the largest difference in a block of pixels.
    """
    largest = np.abs(delta).max(axis=2)
    side = -(-max(largest.shape) // (most or max(largest.shape)))
    for axis in (0, 1):
        largest = np.maximum.reduceat(largest, np.arange(0, largest.shape[axis], side), axis=axis)
    top = max(1, int(scale_top(int(largest.max()))))
    return _heat_colours(top)[largest], top


def heat_stops(top: int) -> list[str]:
    """Colours of levels 1 to ``top``, evenly spaced, as a style sheet writes them."""
    levels = np.linspace(1, top, min(top, 16)).round().astype(int)
    return [_hexadecimal(colour) for colour in _heat_colours(top)[levels]]


def signed(delta: NDArray[np.int16]) -> tuple[NDArray[np.uint8], float, int]:
    """Signed maps ``uint8[3, H', W', 3]`` of the channels, where their scale ends on both sides, and the block's side.

    Each point is the mean of a block of pixels; those at the right and lower edge may be smaller.
    """
    side = -(-max(delta.shape[:2]) // _SIGNED_SIDE)
    means = _block_means(delta, side)
    top = scale_top(float(np.abs(means).max()))
    index = np.rint(LEVELS * (means / top + 1) / 2).astype(np.uint8)
    return np.moveaxis(_signed_colours()[index], 2, 0), top, side


def signed_stops() -> list[str]:
    """Colours of the signed scale from most negative to most positive, as a style sheet writes them."""
    return [_hexadecimal(colour) for colour in (_BLUE, _WHITE, _ORANGE)]


def small(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture ``[H, W, 3]`` made smaller so that its longer side has at most ``side`` pixels."""
    import cv2

    height, width, _ = picture.shape
    if max(height, width) <= side:
        return picture
    share = side / max(height, width)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _block_means(delta: NDArray[np.int16], side: int) -> NDArray[np.float64]:
    sums, sizes = delta.astype(np.float64), np.ones(())
    for axis in (0, 1):
        starts = np.arange(0, delta.shape[axis], side)
        sums = np.add.reduceat(sums, starts, axis=axis)
        lengths = np.diff([*starts, delta.shape[axis]])
        sizes = sizes * (lengths[:, None, None] if axis == 0 else lengths[None, :, None])
    return np.asarray(sums / sizes)


@cache
def _heat_colours(top: int) -> NDArray[np.uint8]:
    """Colour of each level 0 to 255; what is above ``top`` has the colour of ``top``."""
    import cv2

    table = cv2.applyColorMap(np.arange(LEVELS + 1, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    share = np.clip(np.arange(LEVELS + 1) - 1, 0, top - 1) / max(top - 1, 1)
    colours = table[_FAINTEST + np.rint(share * (LEVELS - _FAINTEST)).astype(int)]
    colours[0] = 0
    return np.asarray(colours, np.uint8)


@cache
def _signed_colours() -> NDArray[np.uint8]:
    at = np.arange(LEVELS + 1)
    ends = np.array([_BLUE, _WHITE, _ORANGE], dtype=float)
    channels = [np.interp(at, (0, LEVELS / 2, LEVELS), ends[:, channel]) for channel in range(3)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), np.uint8)


def _hexadecimal(colour: Any) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)
