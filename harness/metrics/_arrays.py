"""The functions of ``_kernels`` by NumPy, with the same bits: for few pixels, where loading the compiler takes longer.

Every expression and the order of every sum are those of ``_kernels``, whose docstrings say what is computed. Only
``sum_of_two_parts`` adds in another order: both of its parts together are exact enough for either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.metrics._loops import BLOCK, CELL, EDGE, STRIP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

_SIDE = 3 * CELL
"""Values of a row in a cell."""


def tally(
    actual: NDArray[np.uint8],
    expected: NDArray[np.uint8],
    top: int,
    bottom: int,
    counts: NDArray[np.int64],
    largest: NDArray[np.uint8],
    blocks: NDArray[np.int64],
) -> None:
    """Count the differences of rows ``top`` to ``bottom`` of ``uint8[H, 3 W]``."""
    shape = bottom - top, largest.shape[1], 3  # none is left open: a band may have no rows
    pictures = (rows[top:bottom].reshape(shape).astype(np.int64) for rows in (actual, expected))
    differences = np.subtract(*pictures)
    for channel in range(3):
        counts[channel] += np.bincount(255 + differences[..., channel].ravel(), minlength=counts.shape[1])
    sizes = np.abs(differences)
    largest[top:bottom] = sizes.max(axis=2)
    places = np.ix_(np.arange(top, bottom) // BLOCK, np.arange(largest.shape[1]) // BLOCK)
    np.add.at(blocks, places, sizes.sum(axis=2))


def count_meetings(
    actual: NDArray[np.uint8], expected: NDArray[np.uint8], top: int, bottom: int, counts: NDArray[np.int64]
) -> None:
    """Rows ``top`` to ``bottom`` of ``uint8[H, 3 W]``: ``counts[a, e]`` grows by one where ``a`` stands for ``e``."""
    places = actual[top:bottom].astype(np.int64) * counts.shape[1] + expected[top:bottom]
    counts += np.bincount(places.ravel(), minlength=counts.size).reshape(counts.shape)


def sum_of_two_parts(values: Doubles) -> tuple[float, float]:
    """Sum of ``[N]`` as a double and what it lacks, by Knuth's exact addition of two doubles, half to half."""
    rest = 0.0
    while values.size > 1:
        half = values.size // 2
        before, value = values[:half], values[half : 2 * half]
        total = before + value
        part = total - before
        rest += float(((before - (total - part)) + (value - part)).sum())
        values = np.append(total, values[2 * half :])
    high = float(values.sum()) + rest
    return high, rest - (high - float(values.sum()))


def fullest_window(
    pixels: NDArray[Any], tolerance: float, height: int, width: int, top: int, bottom: int
) -> tuple[int, int, int]:
    """Most values above ``tolerance`` of ``[H, W]`` in any window of that size, and its first place."""
    over = pixels[top : bottom + height - 1] > tolerance
    sums = np.zeros((over.shape[0] + 1, over.shape[1] + 1), np.int64)
    sums[1:, 1:] = over.cumsum(axis=0).cumsum(axis=1)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, column = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(windows[row, column]), top + int(row), int(column)


# --- structural similarity -------------------------------------------------------------------------------------------


def similarity_rows(
    actual: NDArray[Any],
    expected: NDArray[Any],
    top: int,
    bottom: int,
    weights: Doubles,
    constants: tuple[float, float],
    fields: NDArray[Any],
    cells: Doubles,
    totals: Doubles,
) -> None:
    """Rows ``top`` to ``bottom`` of the similarity map of ``[H, 3 W]``, summed up in cells."""
    del fields  # whole numbers are exact in float64 as well
    totals[top // CELL : -(-bottom // CELL)] = 0.0
    rows, values = actual.shape[0] - 10, actual.shape[1] - 30
    below, aside = cells.shape[0] - 8, cells.shape[1] - 8
    bottom_edge = rows - 4 * 8 if rows > 4 * 8 else rows
    left = 0
    while left < values:
        right = left + STRIP if values - left >= STRIP + EDGE else values
        pair = [picture[top : bottom + 10, left : right + 30].astype(np.float64) for picture in (actual, expected)]
        similarity = _similarity(pair[0], pair[1], weights, constants)
        groups = slice(top // CELL, -(-bottom // CELL))
        strip = _cells(_four_rows(similarity))
        # What begins at the left edge ends where the cells of the right edge begin.
        strip = strip[:, : aside - left // _SIDE]
        cells[groups, left // _SIDE : left // _SIDE + strip.shape[1]] = strip
        totals[groups] += np.add.accumulate(strip, axis=1)[:, -1]
        at_edge = _four_rows(similarity[bottom_edge - top :]) if bottom > bottom_edge else np.empty((0, right - left))
        lower = slice(below, below + len(at_edge))
        if len(at_edge):
            cells[lower, left // _SIDE : left // _SIDE + strip.shape[1]] = _cells(at_edge)[:, : strip.shape[1]]
        if right == values:
            cells[groups, aside:] = _right_cells(_four_rows(similarity))
            cells[lower, aside:] = _right_cells(at_edge)
        left = right


def _similarity(actual: Doubles, expected: Doubles, w: Doubles, constants: tuple[float, float]) -> Doubles:
    """The map of a strip, ``[rows, values]``."""
    total, difference = actual + expected, actual - expected
    fields = (total, difference, total * total, difference * difference)
    of_total, of_difference, total_squared, difference_squared = (
        _weighted(_weighted(field.T, w, 3).T, w, 1) for field in fields
    )
    c1, c2 = 2 * constants[0], 2 * constants[1]
    s, d = of_total * of_total, of_difference * of_difference
    of_s, of_d = total_squared - s, difference_squared - d
    with np.errstate(all="ignore"):
        similarity: Doubles = ((s - d + c1) * (of_s - of_d + c2)) / ((s + d + c1) * (of_s + of_d + c2))
    changed = (actual != expected).any(axis=1)
    for i in range(0, len(similarity), CELL):
        last = min(i + CELL, len(similarity))
        if not changed[i : last + 10].any():
            similarity[i:last] = 1.0
    return similarity


def _weighted(field: Doubles, w: Doubles, apart: int) -> Doubles:
    """Weighted mean down the first axis, of eleven rows that are ``apart``."""
    n = len(field) - 10 * apart

    def row(k: int) -> Doubles:
        return field[k * apart : k * apart + n]

    smooth: Doubles = w[0] * row(5)
    for k in range(1, 6):
        smooth += w[k] * (row(5 - k) + row(5 + k))
    return smooth


def _four_rows(similarity: Doubles) -> Doubles:
    """Sums of four rows each, from the top; the last of what is left."""
    columns = np.zeros((-(-len(similarity) // CELL), similarity.shape[1]))
    for k in range(CELL):
        rows = similarity[k::CELL]
        columns[: len(rows)] += rows
    return columns


def _cells(columns: Doubles) -> Doubles:
    """Sums of twelve columns each, from the left; the last of what is left."""
    cells = np.zeros((len(columns), -(-columns.shape[1] // _SIDE)))
    for k in range(_SIDE):
        values = columns[:, k::_SIDE]
        cells[:, : values.shape[1]] += values
    return cells


def _right_cells(columns: Doubles) -> Doubles:
    """Sums of the eight times twelve columns that end at the right edge."""
    cells = np.zeros((len(columns), 8))
    for k in range(8):
        end = columns.shape[1] - _SIDE * (7 - k)
        for j in range(max(end - _SIDE, 0), end):
            cells[:, k] += columns[:, j]
    return cells
