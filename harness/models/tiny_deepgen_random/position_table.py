"""The two-dimensional sine and cosine table of the transformer, computed without the platform's libm."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.models.tiny_deepgen_random.draws import Doubles

_DIGITS = 40
_SERIES_TERMS = 24


def position_table(width: int, grid: int, base: int) -> Doubles:
    """Table [1, grid * grid, width]: the first half of the channels follows the column, the second half the row.

    Position ``i`` stands for the angle ``i * base / grid`` times frequencies that fall from 1 towards 1/10000.
    ``decimal`` is specified to the digit; the sine of a C library is not.

    Raises:
        ValueError: ``width`` is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"the table needs a width that is a multiple of 4, not {width}.")
    axis = _axis_table(width // 2, grid, base)
    columns = np.broadcast_to(axis[None, :, :], (grid, grid, width // 2))
    rows = np.broadcast_to(axis[:, None, :], (grid, grid, width // 2))
    return np.concatenate([columns, rows], axis=2).reshape(1, grid * grid, width)


def _axis_table(width: int, grid: int, base: int) -> Doubles:
    frequencies = width // 2
    table = np.empty((grid, width))
    with localcontext() as context:
        context.prec = _DIGITS
        step = Decimal(base) / Decimal(grid)
        for k in range(frequencies):
            angle = step * (Decimal(-k) / Decimal(frequencies) * Decimal(10000).ln()).exp()
            for i, (sine, cosine) in enumerate(_turns(angle, grid)):
                table[i, k], table[i, frequencies + k] = float(sine), float(cosine)
    return table


def _turns(angle: Decimal, count: int) -> list[tuple[Decimal, Decimal]]:
    """Sine and cosine of 0, 1, 2, ... times the angle, by the addition theorem."""
    step_sine, step_cosine = _sine_cosine(angle)
    turns = [(Decimal(0), Decimal(1))]
    for _ in range(count - 1):
        sine, cosine = turns[-1]
        turns.append((sine * step_cosine + cosine * step_sine, cosine * step_cosine - sine * step_sine))
    return turns


def _sine_cosine(angle: Decimal) -> tuple[Decimal, Decimal]:
    """Taylor sums, for angles between 0 and 2."""
    sine, cosine, term = Decimal(0), Decimal(0), Decimal(1)
    for n in range(0, 2 * _SERIES_TERMS, 2):
        cosine += term
        term = term * angle / (n + 1)
        sine += term
        term = -term * angle / (n + 2)
    return sine, cosine
