"""Structural similarity of the worst tile: what the mean over a whole picture hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.contracts import Measured, Scale, Subject
from harness.language import recorded
from harness.metrics._windows import MAP_SPEC, RADIUS, STEP, TILE, similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = ""
BETTER: Literal["higher", "lower"] = "higher"
SCALE: Scale = "similarity"
IDENTICAL = 1.0
SPEC = f"ssim_tile_min:tile{TILE}-every{STEP}-last-inwards:{MAP_SPEC}"
SUBJECTS: tuple[Subject, ...] = ("image",)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Lowest mean of the structural similarity map over its tiles of 32 by 32 entries; -1 to 1.

    Tiles begin at every fourth row and column of the map of valid windows and overlap; a last one of each row and
    column ends at the edge. A map narrower or lower than 32 has tiles as wide or high as the map itself. ``where``
    gives the pixels at the middle of the tile's windows in coordinates of the picture, both ends included, as
    ``tile x=5..36 y=5..36``; of equal tiles the first, row by row. Map entry ``[i, j]`` belongs to pixel
    ``[i + 5, j + 5]`` and is moved by pixels up to 5 away.

    Damage of up to 19 by 19 pixels, with everything that it moves, lies wholly inside some tile wherever it is, so it
    counts the same in the middle of a picture as anywhere else that windows reach; it is named with its place.

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a side is shorter than 11 pixels, the range is not positive, or there are non-finite values.
    """
    similar = similarity(actual, expected, data_range)
    row, column = np.unravel_index(int(np.argmin(similar.tiles)), similar.tiles.shape)
    height, width, _ = actual.shape
    across, down = _in_picture(similar.lefts[column], width), _in_picture(similar.tops[row], height)
    place = recorded("tile x={x:s} y={y:s}", x=across, y=down)
    return Measured(value=float(similar.tiles[row, column]), where=place)


def _in_picture(start: int, length: int) -> str:
    side = min(TILE, length - 2 * RADIUS)
    return f"{start + RADIUS}..{start + side - 1 + RADIUS}"
