"""Structural similarity of the worst tile: what the mean over a whole picture hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Measured, Subject
from harness.metrics._differences import mean
from harness.metrics._windows import MAP_SPEC, RADIUS, similarity_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE = 32
"""Side of a tile in pixels."""

UNIT = ""
BETTER: Literal["higher", "lower"] = "higher"
IDENTICAL = 1.0
SPEC = f"ssim_tile_min:tile{TILE}-grid-last-inwards:{MAP_SPEC}"
SUBJECTS: tuple[Subject, ...] = ("image",)


def measure(actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
    """Lowest mean of the structural similarity map over its tiles of 32 by 32 entries; -1 to 1.

    Tiles lie on the map of valid windows, edge to edge from its top left entry; where the last one of a row or column
    would stick out, it is moved inwards to the edge and overlaps its neighbour. A map narrower or lower than 32 has
    tiles as wide or high as the map itself. ``where`` gives the pixels at the middle of the tile's windows in
    coordinates of the picture, both ends included, as ``tile x=5..36 y=5..36``; of equal tiles the first, row by row.
    Map entry ``[i, j]`` belongs to pixel ``[i + 5, j + 5]`` and is moved by pixels up to 5 away.

    Damage across tile borders is diluted: noise of 32 by 32 pixels gives nearly 0 in a tile of its own, about 0.6
    where it lies on four.

    Raises:
        ImageError: sizes or types differ, or are not those of a picture.
        UndefinedMetric: a side is shorter than 11 pixels, the range is not positive, or there are non-finite values.
    """
    similarity = similarity_map(actual, expected, data_range)
    height, width = similarity.shape
    tiles = [(rows, columns) for rows in _spans(height) for columns in _spans(width)]
    value, number = min((mean(similarity[rows, columns]), number) for number, (rows, columns) in enumerate(tiles))
    rows, columns = tiles[number]
    return Measured(value=value, where=f"tile x={_in_picture(columns)} y={_in_picture(rows)}")


def _spans(length: int) -> list[slice]:
    side = min(TILE, length)
    return [slice(min(start, length - side), min(start, length - side) + side) for start in range(0, length, side)]


def _in_picture(span: slice) -> str:
    return f"{span.start + RADIUS}..{span.stop - 1 + RADIUS}"
