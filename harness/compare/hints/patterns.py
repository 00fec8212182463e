"""Differences all over the picture that have a form of their own: a pattern that repeats, noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.compare.hints.pictures import error_of
from harness.fitness import roughness
from harness.language import recordable, recorded
from harness.records import Hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.compare.hints.pictures import Pictures

    Doubles = NDArray[np.float64]

_PERIODS = (16, 8)
"""Pixels after which a pattern may repeat, the longest that fits is looked for: shorter ones show in it too."""

_REPEATS = 8
"""Times that a pattern repeats in each direction; by chance little repeats so often."""

_PATTERN = 0.5
"""Share of the squared error, without an offset, that the pattern has."""

_SAME = 0.9
"""Share of a pattern that a simpler one has, which then is named."""


def pattern(pair: Pictures) -> Hint | None:
    """A checkerboard, rows, columns or another pattern that repeats after 2 to 16 pixels."""
    period = next((candidate for candidate in _PERIODS if min(pair.height, pair.width) >= _REPEATS * candidate), 0)
    if not period:
        return None
    cell = _folded(pair, period)
    energy = float(np.mean(cell**2)) * pair.actual.size
    if energy < _PATTERN * pair.uneven:
        return None
    rows, columns = cell.mean(axis=1, keepdims=True), cell.mean(axis=0, keepdims=True)
    sign = (-1.0) ** np.add.outer(np.arange(period), np.arange(period))[..., None]
    board = sign * np.mean(sign * cell, axis=(0, 1))
    forms = {
        recordable("a checkerboard"): board,
        recordable("a pattern of rows"): np.broadcast_to(rows, cell.shape),
        recordable("a pattern of columns"): np.broadcast_to(columns, cell.shape),
    }
    shares = {name: float(np.mean(form**2) / np.mean(cell**2)) for name, form in forms.items()}
    name = max(shares, key=lambda form: shares[form])
    if shares[name] >= _SAME:
        cell = forms[name]
    else:
        name = recordable("a pattern of rows and columns")
    repeats = [-(-side // period) for side in (pair.height, pair.width)]
    drawn = np.tile((cell + pair.means).astype(np.float32), (*repeats, 1))[: pair.height, : pair.width]
    share = 1 - error_of(pair.difference, drawn) / pair.uneven
    if share < _PATTERN:
        return None
    message = recorded(
        "looks like {form!s}: without a constant offset {share:.0%} of the squared error is a pattern that repeats "
        "after {period:d} px, from {least:+.2f} to {most:+.2f} levels",
        form=name,
        share=share,
        period=_repeat(cell),
        least=cell.min(),
        most=cell.max(),
    )
    return Hint(name="pattern", message=message)


def _folded(pair: Pictures, period: int) -> Doubles:
    """Mean difference, without that of the channel, at each place of a pattern: ``[period, period, 3]``."""
    height, width = (side // period * period for side in (pair.height, pair.width))
    rows = pair.difference[:height, :width].reshape(height // period, -1).sum(axis=0, dtype=np.int64)
    cell = rows.reshape(period, width // period, period, 3).sum(axis=1) / (height // period * (width // period))
    return np.asarray(cell - cell.mean(axis=(0, 1)))


def _repeat(cell: Doubles) -> int:
    """The shortest period that has nearly all of a pattern."""
    period = len(cell)
    for shorter in (length for length in range(2, period) if period % length == 0):
        parts = cell.reshape(period // shorter, shorter, period // shorter, shorter, 3).mean(axis=(0, 2))
        if float(np.mean(parts**2)) >= _SAME * float(np.mean(cell**2)):
            return shorter
    return period


_STRONG = 10.0
"""Levels, RMS, from which on noise is named: rounding and other kernels give a tenth of it, and that is nothing odd."""

_DENSE = 0.6
"""Share of the values that differ."""

_WHITE = (0.9, 1.1)
"""Mean squared step of the difference to the next pixel, of twice its variance."""

_RELATED = 0.35
"""Share of the expected picture that the difference may hold, with either sign: noise knows nothing of it."""

_BLOCK = 16
_EVERYWHERE = 0.9
"""Share of the blocks that have a good part of the noise."""


def noise(pair: Pictures) -> Hint | None:
    """Strong noise over the whole picture, which is still there below it."""
    if pair.rms(pair.uneven) < _STRONG:
        return None
    actual, expected = (np.sum(spreads**2) for spreads in pair.spreads)
    # From V(a) = V(e) + V(d) + 2 C(d, e): the slope of the difference over the expected picture.
    slope = (actual - expected - pair.uneven / pair.pixels) / 2 / max(expected, 1)
    if abs(slope) > _RELATED or np.count_nonzero(pair.difference) < _DENSE * pair.actual.size:
        return None
    steps = roughness(pair.difference, at_least=_WHITE[0])
    if not _WHITE[0] <= min(steps) <= max(steps) <= _WHITE[1]:
        return None
    height, width = (side // _BLOCK for side in (pair.height, pair.width))
    if not height or not width:
        return None
    blocks = pair.squares[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, -1).sum(axis=1, dtype=np.int64)
    powers = blocks.reshape(height, width, -1).mean(axis=2) / _BLOCK
    if np.count_nonzero(9 * powers > pair.error / pair.actual.size) < _EVERYWHERE * powers.size:
        return None
    message = recorded(
        "looks like noise over the whole picture: RMS {rms:.2f} levels, neighbouring pixels of the difference "
        "correlate by {down:+.2f} down and {across:+.2f} across",
        rms=pair.rms(pair.error),
        down=1 - steps[0],
        across=1 - steps[1],
    )
    return Hint(name="noise", message=message)
