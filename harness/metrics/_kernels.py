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

from harness.metrics._loops import BLOCK, CELL, EDGE, STRIP

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

AnyFunction = TypeVar("AnyFunction", bound="Callable[..., Any]")

RING = 16
"""Rows kept of each field: four rows of the map need fourteen, and 16 makes the remainder cheap."""


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
    blocks: NDArray[np.int64],
) -> None:
    """Count the differences of rows ``top`` to ``bottom`` of ``uint8[H, 3 W]``.

    ``counts[channel, 255 + d]`` grows by one for each difference ``d``; ``largest[row, column]`` becomes the largest
    absolute difference of a pixel's three; ``blocks[row // 16, column // 16]`` grows by their sum.
    """
    for i in range(top, bottom):
        actual_row, expected_row = actual[i], expected[i]
        for j in range(largest.shape[1]):
            red = np.int64(actual_row[3 * j]) - np.int64(expected_row[3 * j])
            green = np.int64(actual_row[3 * j + 1]) - np.int64(expected_row[3 * j + 1])
            blue = np.int64(actual_row[3 * j + 2]) - np.int64(expected_row[3 * j + 2])
            counts[0, 255 + red] += 1
            counts[1, 255 + green] += 1
            counts[2, 255 + blue] += 1
            largest[i, j] = max(abs(red), abs(green), abs(blue))
            blocks[i // BLOCK, j // BLOCK] += abs(red) + abs(green) + abs(blue)


@compiled
def count_meetings(
    actual: NDArray[np.uint8], expected: NDArray[np.uint8], top: int, bottom: int, counts: NDArray[np.int64]
) -> None:
    """Rows ``top`` to ``bottom`` of ``uint8[H, 3 W]``: ``counts[a, e]`` grows by one where ``a`` stands for ``e``."""
    for i in range(top, bottom):
        for j in range(actual.shape[1]):
            counts[actual[i, j], expected[i, j]] += 1


@compiled
def sum_of_two_parts(values: Doubles) -> tuple[float, float]:
    """Sum of ``[N]`` in stated order as a double and what it lacks, by Knuth's exact addition of two doubles."""
    total, rest = 0.0, 0.0
    for value in values:
        before = total
        total = before + value
        part = total - before
        rest += (before - (total - part)) + (value - part)
    high = total + rest
    return high, rest - (high - total)


@compiled
def fullest_window(
    pixels: NDArray[Any], tolerance: float, height: int, width: int, top: int, bottom: int
) -> tuple[int, int, int]:
    """Most values above ``tolerance`` of ``[H, W]`` in any window of that size, and its first place: count, top, left.

    Windows that begin in rows ``top`` to ``bottom`` are looked at; there are as many windows in a row as fit.
    """
    columns = np.zeros(pixels.shape[1], np.int32)
    most, place = 0, (top, 0)
    for i in range(top, bottom + height - 1):
        for j in range(columns.size):
            columns[j] += pixels[i, j] > tolerance
        if i - height >= top:
            for j in range(columns.size):
                columns[j] -= pixels[i - height, j] > tolerance
        if i < top + height - 1:
            continue
        inside = 0
        for j in range(width - 1):
            inside += columns[j]
        for j in range(width - 1, columns.size):
            inside += columns[j]
            if inside > most:
                most, place = inside, (i - height + 1, j - width + 1)
            inside -= columns[j - width + 1]
    return most, place[0], place[1]


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

    ``top`` is a multiple of 4; so is ``bottom``, unless the map ends there, and then at least 32 rows lie between them
    or all there are. ``weights`` are those of the middle of the window and of the distances 1 to 5; ``constants`` are
    ``C1`` and ``C2``. ``fields``, ``[4, ROOM]`` of a type that holds sums and squares exactly, is room to work in.

    A cell is 4 rows by 4 pixels by 3 channels, the last of a row or column what is left. ``cells[i, j]`` becomes the
    sum of cell ``i`` from the top and ``j`` from the left; behind them stand 8 rows and 8 columns of cells more, which
    end at the bottom and at the right edge. ``totals[i]`` becomes the sum of the cells of row ``i`` from the left edge.
    """
    totals[top // CELL : -(-bottom // CELL)] = 0.0
    values = actual.shape[1] - 30
    left = 0
    while left < values:
        # The last strip is wide enough for all cells that end at the right edge.
        right = left + STRIP if values - left >= STRIP + EDGE else values
        _strip(actual, expected, top, bottom, left, right, weights, constants, fields, cells, totals)
        left = right


@compiled
def _strip(
    actual: NDArray[Any],
    expected: NDArray[Any],
    top: int,
    bottom: int,
    left: int,
    right: int,
    weights: Doubles,
    constants: tuple[float, float],
    fields: NDArray[Any],
    cells: Doubles,
    totals: Doubles,
) -> None:
    """The columns ``left`` to ``right`` of some rows: few enough that what is kept of each row stays in the cache."""
    rows, values, n = actual.shape[0] - 10, actual.shape[1] - 30, right - left
    below, aside = cells.shape[0] - 8, cells.shape[1] - 8
    bottom_edge = rows - 4 * 8 if rows > 4 * 8 else rows
    changed = np.empty(actual.shape[0], np.bool_)
    for i in range(top, bottom + 10):
        changed[i] = _differ(actual[i, left : right + 30], expected[i, left : right + 30])
    ring = np.empty((4, RING, n))
    smooth = np.empty((4, CELL, n))
    similarity, columns, edge_columns = np.empty(n), np.empty(n), np.empty(n)
    made = top
    for i in range(top, bottom, CELL):
        last = min(i + CELL, bottom)
        different = changed[i : last + 10].any()
        if different:
            _fill(actual, expected, max(made, i), last + 10, left, weights, fields, ring)
            made = last + 10
            for k in range(4):
                _down(ring[k], i, weights, smooth[k, 0], smooth[k, 1], smooth[k, 2], smooth[k, 3])
        columns[:] = 0.0
        for row in range(i, last):
            if different:
                k = row - i
                _similarity(smooth[0, k], smooth[1, k], smooth[2, k], smooth[3, k], constants, similarity)
            else:
                # Where all windows of a row are equal the expression gives exactly 1.
                similarity[:] = 1.0
            _add(similarity, columns)
            if row >= bottom_edge:
                place = row - bottom_edge
                if place % CELL == 0:
                    edge_columns[:] = 0.0
                _add(similarity, edge_columns)
                _sum_up(edge_columns, left, values, aside, cells[below + place // CELL])
        totals[i // CELL] += _sum_up(columns, left, values, aside, cells[i // CELL])


@compiled
def _fill(
    actual: NDArray[Any],
    expected: NDArray[Any],
    top: int,
    bottom: int,
    left: int,
    weights: Doubles,
    fields: NDArray[Any],
    ring: Doubles,
) -> None:
    """Weighted means along the rows ``top`` to ``bottom``, from column ``left`` on, into their places in the ring."""
    right = left + ring.shape[2] + 30
    for row in range(top, bottom):
        actual_row, expected_row = actual[row, left:right], expected[row, left:right]
        if actual.itemsize == 1:
            _fields_of_bytes(actual_row, expected_row, fields[0], fields[1], fields[2], fields[3])
        else:
            _fields_of_floats(actual_row, expected_row, fields[0], fields[1], fields[2], fields[3])
        for k in range(4):
            _across(fields[k], weights, ring[k, row % RING])


@compiled
def _add(row: Doubles, columns: Doubles) -> None:
    for j in range(row.size):
        columns[j] += row[j]


@compiled
def _differ(actual: NDArray[Any], expected: NDArray[Any]) -> bool:
    different = False
    for j in range(actual.size):
        different |= actual[j] != expected[j]
    return different


@compiled
def _fields_of_bytes(
    actual: NDArray[Any],
    expected: NDArray[Any],
    total: NDArray[Any],
    difference: NDArray[Any],
    total_squared: NDArray[Any],
    difference_squared: NDArray[Any],
) -> None:
    """Sum and difference of two rows and their squares; all are whole numbers that float32 holds exactly."""
    for j in range(actual.size):
        x, y = np.float32(actual[j]), np.float32(expected[j])
        total[j] = x + y
        difference[j] = x - y
        total_squared[j] = (x + y) * (x + y)
        difference_squared[j] = (x - y) * (x - y)


@compiled
def _fields_of_floats(
    actual: NDArray[Any],
    expected: NDArray[Any],
    total: NDArray[Any],
    difference: NDArray[Any],
    total_squared: NDArray[Any],
    difference_squared: NDArray[Any],
) -> None:
    """Sum and difference of two rows and their squares, each rounded once."""
    for j in range(actual.size):
        x, y = np.float64(actual[j]), np.float64(expected[j])
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
def _down(ring: Doubles, i: int, w: Doubles, s0: Doubles, s1: Doubles, s2: Doubles, s3: Doubles) -> None:
    """Weighted mean down the columns, for four rows at once because they share most of the fourteen they need."""
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    r0, r1, r2, r3 = ring[i % RING], ring[(i + 1) % RING], ring[(i + 2) % RING], ring[(i + 3) % RING]
    r4, r5, r6, r7 = ring[(i + 4) % RING], ring[(i + 5) % RING], ring[(i + 6) % RING], ring[(i + 7) % RING]
    r8, r9, r10, r11 = ring[(i + 8) % RING], ring[(i + 9) % RING], ring[(i + 10) % RING], ring[(i + 11) % RING]
    r12, r13 = ring[(i + 12) % RING], ring[(i + 13) % RING]
    for j in range(s0.size):
        a0, a1, a2, a3, a4, a5, a6 = r0[j], r1[j], r2[j], r3[j], r4[j], r5[j], r6[j]
        a7, a8, a9, a10, a11, a12, a13 = r7[j], r8[j], r9[j], r10[j], r11[j], r12[j], r13[j]
        s0[j] = w0 * a5 + w1 * (a4 + a6) + w2 * (a3 + a7) + w3 * (a2 + a8) + w4 * (a1 + a9) + w5 * (a0 + a10)
        s1[j] = w0 * a6 + w1 * (a5 + a7) + w2 * (a4 + a8) + w3 * (a3 + a9) + w4 * (a2 + a10) + w5 * (a1 + a11)
        s2[j] = w0 * a7 + w1 * (a6 + a8) + w2 * (a5 + a9) + w3 * (a4 + a10) + w4 * (a3 + a11) + w5 * (a2 + a12)
        s3[j] = w0 * a8 + w1 * (a7 + a9) + w2 * (a6 + a10) + w3 * (a5 + a11) + w4 * (a4 + a12) + w5 * (a3 + a13)


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
def _sum_up(columns: Doubles, left: int, values: int, aside: int, cells: Doubles) -> float:
    """Sums of the cells of a strip, each from left to right, and the sum of those that begin at the left edge.

    ``aside`` of ``cells`` begin at the left edge, the others end at the right one.
    """
    side = 3 * CELL
    total = 0.0
    for k in range(left // side, min(-(-(left + columns.size) // side), aside)):
        cell = 0.0
        for j in range(side * k - left, min(side * (k + 1) - left, columns.size)):
            cell += columns[j]
        cells[k] = cell
        total += cell
    if left + columns.size == values:
        for k in range(8):
            end = columns.size - side * (7 - k)
            cell = 0.0
            for j in range(max(end - side, 0), end):
                cell += columns[j]
            cells[aside + k] = cell
    return total
