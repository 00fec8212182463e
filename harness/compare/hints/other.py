"""Another picture altogether, where nothing else explains the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.compare.structure import UNRELATED, cell_means, cell_side, fast_cells
from harness.language import recorded
from harness.records import Hint

if TYPE_CHECKING:
    from harness.compare.hints.pictures import Pictures

_OPPOSITE = -0.5
"""Correlation below which the pictures are related after all: light for dark."""

_ALIKE = 1.0
"""Levels, mean absolute difference within which a cell counts as equal."""

_STRUCTURED = 2.0
"""Levels, standard deviation from which on a cell shows something that another picture would not have by chance."""

_SOMEWHERE_ELSE = 0.6
"""Correlation, with the cells moved by any number, from which on it is the same picture moved far."""

_LARGE = 0.15
"""Share of the cells that show something; where so many are equal it is the same picture with damage."""


def other_picture(pair: Pictures) -> Hint | None:
    """No structure kept, as with other noise: inaccuracy and most faults keep it."""
    kept = pair.structure
    if kept is None or not pair.spreads[0].any() or not _OPPOSITE < kept < UNRELATED:
        return None
    if _large_part_equal(pair) or _far_away(pair):
        return None
    side = cell_side(pair.expected)
    message = recorded(
        "looks like another picture, as from other noise, another seed or prompt: the means of {count:d} cells of "
        "{side:d} x {side:d} px, without what changes slowly, correlate by {correlation:.2f}",
        count=(pair.height // side) * (pair.width // side),
        side=side,
        correlation=kept,
    )
    return Hint(name="other-picture", message=message)


def _large_part_equal(pair: Pictures) -> bool:
    side = cell_side(pair.expected)
    apart = np.abs(pair.difference).astype(np.uint8)
    means = cell_means(pair.expected, side)
    squares = cell_means(np.square(pair.expected, dtype=np.uint16), side)
    showing = squares - means**2 > _STRUCTURED**2
    equal = cell_means(apart, side) <= _ALIKE
    return int(np.count_nonzero(equal & showing)) > _LARGE * max(int(np.count_nonzero(showing)), 1)


def _far_away(pair: Pictures) -> bool:
    """Whether the structure is there, at another place."""
    side = cell_side(pair.expected)
    actual, expected = (fast_cells(picture, side) for picture in (pair.actual, pair.expected))
    moved = np.fft.irfft2(np.fft.rfft2(actual) * np.conj(np.fft.rfft2(expected)), s=actual.shape)
    return bool(moved.max() > _SOMEWHERE_ELSE * actual.size * actual.std() * expected.std())
