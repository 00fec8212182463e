"""The loops over all pixels, compiled: the same bits for any number of threads and on every processor.

Every value is one fixed expression of the pixels around it, compiled without contraction (no fused multiply-add) and
without reordering, and all sums run in a stated order or over integers. How wide the processor's vectors are and how
rows are shared out among threads therefore changes no bit. Rows are interleaved, ``r g b r g b``, so that every inner
loop runs over neighbouring numbers.

Imported where it is needed only: loading the compiler takes longer than measuring a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

AnyFunction = TypeVar("AnyFunction", bound="Callable[..., Any]")

RING = 16
"""Rows kept of each field: two rows of the map need twelve, and 16 makes the remainder cheap."""

CELL = 4
"""Pixels of a row that are summed together."""


def compiled(function: AnyFunction) -> AnyFunction:
    """Compile at the first call and keep the result beside the source, or in the user's cache folder."""
    # Python's division looks for zero, which would keep loops from using vectors.
    try:
        return cast("AnyFunction", numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # no folder can be written to; compile again in every process
        return cast("AnyFunction", numba.njit(nogil=True, error_model="numpy")(function))


# --- differences -----------------------------------------------------------------------------------------------------


@compiled
def tally(
    actual: NDArray[np.uint8],
    expected: NDArray[np.uint8],
    top: int,
    bottom: int,
    counts: NDArray[np.int64],
    largest: NDArray[np.uint8],
) -> None:
    """Count the differences of rows ``top`` to ``bottom`` of ``uint8[H, 3 W]``.

    ``counts[channel, 255 + d]`` grows by one for each difference ``d``; ``largest[row, column]`` becomes the largest
    absolute difference of a pixel's three.
    """
    for i in range(top, bottom):
        mine, theirs = actual[i], expected[i]
        for j in range(largest.shape[1]):
            red = np.int64(mine[3 * j]) - np.int64(theirs[3 * j])
            green = np.int64(mine[3 * j + 1]) - np.int64(theirs[3 * j + 1])
            blue = np.int64(mine[3 * j + 2]) - np.int64(theirs[3 * j + 2])
            counts[0, 255 + red] += 1
            counts[1, 255 + green] += 1
            counts[2, 255 + blue] += 1
            largest[i, j] = max(abs(red), abs(green), abs(blue))


@compiled
def fullest_window(marked: NDArray[np.bool_], height: int, width: int) -> tuple[int, int, int]:
    """Most marked pixels in any window of that size inside ``bool[H, W]``, and its first place: count, top, left."""
    columns = np.zeros(marked.shape[1], np.int32)
    most, top, left = 0, 0, 0
    for i in range(marked.shape[0]):
        for j in range(columns.size):
            columns[j] += marked[i, j]
        if i >= height:
            for j in range(columns.size):
                columns[j] -= marked[i - height, j]
        if i < height - 1:
            continue
        inside = 0
        for j in range(columns.size):
            inside += columns[j]
            if j >= width:
                inside -= columns[j - width]
            if inside > most and j >= width - 1:
                most, top, left = inside, i - height + 1, j - width + 1
    return most, top, left


# --- structural similarity -------------------------------------------------------------------------------------------


@compiled
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
    """Rows ``top`` to ``bottom`` of the similarity map of ``[H, 3 W]``, summed up as they are made.

    ``weights`` are those of the middle of the window and of the distances 1 to 5; ``constants`` are ``C1`` and ``C2``.
    ``fields``, ``[4, 3 W]`` of a type that holds sums and squares exactly, is room to work in. ``cells[i]`` becomes the
    sums over 4 pixels and 3 channels of map row ``i``, from its left edge, the last one of what is left, and behind
    them 8 more that end at its right edge; ``totals[i]`` becomes the sum of the whole row.
    """
    values = actual.shape[1] - 30
    changed = np.empty(actual.shape[0], np.bool_)
    for i in range(top, bottom + 10):
        changed[i] = _differ(actual[i], expected[i])
    ring = np.empty((4, RING, values))
    smooth = np.empty((4, 2, values))
    similarity = np.empty(values)
    made = top
    for i in range(top, bottom, 2):
        last = min(i + 2, bottom)
        if not changed[i : last + 10].any():
            # Where all windows of a row are equal the expression below gives exactly 1.
            similarity[:] = 1.0
            for row in range(i, last):
                totals[row] = _sum_up(similarity, cells[row])
            continue
        for row in range(max(made, i), last + 10):
            if actual.itemsize == 1:
                _fields_of_bytes(actual[row], expected[row], fields[0], fields[1], fields[2], fields[3])
            else:
                _fields_of_floats(actual[row], expected[row], fields[0], fields[1], fields[2], fields[3])
            for k in range(4):
                _across(fields[k], weights, ring[k, row % RING])
        made = last + 10
        for k in range(4):
            _down(ring[k], i, weights, smooth[k, 0], smooth[k, 1])
        for row in range(i, last):
            _similarity(
                smooth[0, row - i], smooth[1, row - i], smooth[2, row - i], smooth[3, row - i], constants, similarity
            )
            totals[row] = _sum_up(similarity, cells[row])


@compiled
def _differ(mine: NDArray[Any], theirs: NDArray[Any]) -> bool:
    different = False
    for j in range(mine.size):
        different |= mine[j] != theirs[j]
    return different


@compiled
def _fields_of_bytes(
    mine: NDArray[Any],
    theirs: NDArray[Any],
    total: NDArray[Any],
    difference: NDArray[Any],
    total_squared: NDArray[Any],
    difference_squared: NDArray[Any],
) -> None:
    """Sum and difference of two rows and their squares; all are whole numbers that float32 holds exactly."""
    for j in range(mine.size):
        x, y = np.float32(mine[j]), np.float32(theirs[j])
        total[j] = x + y
        difference[j] = x - y
        total_squared[j] = (x + y) * (x + y)
        difference_squared[j] = (x - y) * (x - y)


@compiled
def _fields_of_floats(
    mine: NDArray[Any],
    theirs: NDArray[Any],
    total: NDArray[Any],
    difference: NDArray[Any],
    total_squared: NDArray[Any],
    difference_squared: NDArray[Any],
) -> None:
    """Sum and difference of two rows and their squares, each rounded once."""
    for j in range(mine.size):
        x, y = np.float64(mine[j]), np.float64(theirs[j])
        total[j] = x + y
        difference[j] = x - y
        total_squared[j] = (x + y) * (x + y)
        difference_squared[j] = (x - y) * (x - y)


@compiled
def _across(row: NDArray[Any], w: Doubles, smooth: Doubles) -> None:
    """Weighted mean along a row; neighbours of one channel are three numbers apart."""
    n = smooth.size
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    l5, l4, l3, l2, l1 = row[:n], row[3 : 3 + n], row[6 : 6 + n], row[9 : 9 + n], row[12 : 12 + n]
    middle = row[15 : 15 + n]
    r1, r2, r3, r4, r5 = row[18 : 18 + n], row[21 : 21 + n], row[24 : 24 + n], row[27 : 27 + n], row[30 : 30 + n]
    for j in range(n):
        smooth[j] = (
            w0 * np.float64(middle[j])
            + w1 * np.float64(l1[j] + r1[j])
            + w2 * np.float64(l2[j] + r2[j])
            + w3 * np.float64(l3[j] + r3[j])
            + w4 * np.float64(l4[j] + r4[j])
            + w5 * np.float64(l5[j] + r5[j])
        )


@compiled
def _down(ring: Doubles, i: int, w: Doubles, smooth: Doubles, next_smooth: Doubles) -> None:
    """Weighted mean down the columns, for two rows at once because they share ten of the twelve they need."""
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    r0, r1, r2, r3 = ring[i % RING], ring[(i + 1) % RING], ring[(i + 2) % RING], ring[(i + 3) % RING]
    r4, r5, r6, r7 = ring[(i + 4) % RING], ring[(i + 5) % RING], ring[(i + 6) % RING], ring[(i + 7) % RING]
    r8, r9, r10, r11 = ring[(i + 8) % RING], ring[(i + 9) % RING], ring[(i + 10) % RING], ring[(i + 11) % RING]
    for j in range(smooth.size):
        a1, a2, a3, a4, a5 = r1[j], r2[j], r3[j], r4[j], r5[j]
        a6, a7, a8, a9, a10 = r6[j], r7[j], r8[j], r9[j], r10[j]
        smooth[j] = w0 * a5 + w1 * (a4 + a6) + w2 * (a3 + a7) + w3 * (a2 + a8) + w4 * (a1 + a9) + w5 * (r0[j] + a10)
        next_smooth[j] = (
            w0 * a6 + w1 * (a5 + a7) + w2 * (a4 + a8) + w3 * (a3 + a9) + w4 * (a2 + a10) + w5 * (a1 + r11[j])
        )


@compiled
def _similarity(
    total: Doubles,
    difference: Doubles,
    total_squared: Doubles,
    difference_squared: Doubles,
    constants: tuple[float, float],
    similarity: Doubles,
) -> None:
    """With ``s = a + e`` and ``d = a - e``, twice each term of the similarity: ``4 m_a m_e = m_s^2 - m_d^2`` and so on.

    For equal windows the terms of ``d`` are exactly 0 and the quotient is exactly 1.
    """
    c1, c2 = 2 * constants[0], 2 * constants[1]
    for j in range(similarity.size):
        s, d = total[j] * total[j], difference[j] * difference[j]
        of_s, of_d = total_squared[j] - s, difference_squared[j] - d
        similarity[j] = ((s - d + c1) * (of_s - of_d + c2)) / ((s + d + c1) * (of_s + of_d + c2))


@compiled
def _sum_up(similarity: Doubles, cells: Doubles) -> float:
    """Sums of a map row by cells, each from left to right, and the sum of those from its left edge."""
    aligned = cells.size - 8
    total = 0.0
    for k in range(cells.size):
        start = 3 * CELL * k if k < aligned else max(similarity.size - 3 * CELL * (cells.size - k), 0)
        end = min(start + 3 * CELL, similarity.size)
        found = 0.0
        for j in range(start, end):
            found += similarity[j]
        cells[k] = found
        if k < aligned:
            total += found
    return total
