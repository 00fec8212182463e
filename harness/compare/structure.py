"""How much of a picture's structure another one keeps: inaccuracy leaves it alone, other noise does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Cells = NDArray[np.float64]

UNRELATED = 0.25
"""Below that no structure is kept: two draws of one prompt reach 0.25 at most, one noise in two types 0.28 at least."""

CELL = 8
"""Side in pixels of the cells whose means are compared; one latent of usual decoders."""

_SMALLEST_CELL = 4
_CELLS_A_SIDE = 8
_SIGMA = 4.0
"""Cells. What changes more slowly is left out: a subject in the middle of a bright ground is in most pictures."""

_LEAST_SPREAD = 0.5
"""Levels. Where cells differ less there is no structure that could be kept."""


def structure(actual: Picture, expected: Picture) -> float | None:
    """Correlation, -1 to 1, of the cell means of two pictures ``uint8[H, W, 3]`` without what changes slowly.

    A cell has 8 by 8 pixels, fewer where a side has less than 8 cells; its mean is over the channels too. A Gaussian of
    4 cells is taken off. 0 where the actual picture has no structure, None where the expected one has none or a side is
    shorter than 32 pixels.

    >>> expected = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    >>> structure(expected, expected)
    1.0
    >>> structure(np.zeros_like(expected), expected)
    0.0
    >>> structure(expected, np.zeros_like(expected)) is None
    True
    """
    side = cell_side(expected)
    if side < _SMALLEST_CELL:
        return None
    actual_cells, expected_cells = (fast_cells(picture, side) for picture in (actual, expected))
    if expected_cells.std() < _LEAST_SPREAD:
        return None
    if actual_cells.std() < _LEAST_SPREAD:
        return 0.0
    return float(np.clip(np.mean(actual_cells * expected_cells) / (actual_cells.std() * expected_cells.std()), -1, 1))


def cell_side(picture: Picture) -> int:
    """Side in pixels of the cells of a picture of that size."""
    height, width, _ = picture.shape
    return int(min(CELL, height // _CELLS_A_SIDE, width // _CELLS_A_SIDE))


def cell_means(picture: Picture, side: int) -> Cells:
    """Mean of all values of each whole cell of ``side`` by ``side`` pixels, side by side from the top left."""
    rows, columns = (length // side for length in picture.shape[:2])
    flat = np.ascontiguousarray(picture[: rows * side, : columns * side]).reshape(rows, side, -1)
    sums = (
        flat.sum(axis=1, dtype=np.uint32 if picture.itemsize > 1 else np.uint16).reshape(rows, columns, -1).sum(axis=2)
    )
    return np.asarray(sums / (side * side * picture.shape[2]))


def fast_cells(picture: Picture, side: int) -> Cells:
    """``cell_means`` without their Gaussian mean; the mean of what is left is 0."""
    cells = cell_means(picture, side)
    down, across = (_gaussian(length) for length in cells.shape)
    fast = cells - down @ cells @ across.T
    return np.asarray(fast - fast.mean())


def _gaussian(length: int) -> Cells:
    """Weights of each place for each place of a row; at its ends they are those of what there is."""
    apart = np.subtract.outer(np.arange(length), np.arange(length))
    weights = np.exp(-0.5 * (apart / _SIGMA) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
