"""Differences that lie somewhere in the picture: at its border, in one place, in tiles."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from harness.compare.hints.pictures import COLLAPSED
from harness.fitness import spread
from harness.language import recorded
from harness.message import listed
from harness.records import Hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.compare.hints.pictures import Pictures

    Doubles = NDArray[np.float64]

_ELSEWHERE = 0.05
"""Share of the squared error that may lie outside of the place that is named."""

_BORDERS = (1, 2, 4, 8, 16)
_SMALL_PART = 8
"""A place is small, and a border thin, up to one part in so many."""


def border(pair: Pictures) -> Hint | None:
    """Damage within a few pixels of the edge."""
    rows, columns = pair.profiles
    for depth in _BORDERS:
        if min(pair.height, pair.width) < _SMALL_PART * depth:
            return None
        within = sum(float(sums[:depth].sum() + sums[-depth:].sum()) for sums in (rows, columns))
        if within < (1 - _ELSEWHERE) * pair.error:
            continue
        squares = pair.squares
        left = float(squares[depth:-depth, depth:-depth].sum(dtype=np.int64))
        if left > _ELSEWHERE * pair.error:
            continue
        strips = {
            recorded("top"): squares[:depth].any(axis=(0, 2)),
            recorded("bottom"): squares[-depth:].any(axis=(0, 2)),
            recorded("left"): squares[:, :depth].any(axis=(1, 2)),
            recorded("right"): squares[:, -depth:].any(axis=(1, 2)),
        }
        sides = [name for name, differs in strips.items() if 2 * np.count_nonzero(differs) > differs.size]
        message = recorded(
            "looks like a broken border: {share:.1%} of the squared error lies within {depth:d} px of the edge "
            "({sides})",
            share=1 - left / pair.error,
            depth=depth,
            sides=sides,
        )
        return Hint(name="border", message=message, where=listed(sides)) if sides else None
    return None


def one_place(pair: Pictures) -> Hint | None:
    """Damage in one small part of the picture."""
    rows, columns = (_span(profile) for profile in pair.profiles)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if _SMALL_PART * height * width > pair.pixels:
        return None
    window = pair.squares[rows, columns]
    share = float(window.sum(dtype=np.int64)) / pair.error
    # Few values that differ here and there are no damage, even where chance has put them close together.
    if share < 1 - _ELSEWHERE or 4 * np.count_nonzero(window.any(axis=2)) < height * width:
        return None
    message = recorded(
        "looks like damage in one place: {share:.1%} of the squared error lies in {width:d} x {height:d} px",
        share=share,
        width=width,
        height=height,
    )
    where = f"x={columns.start}..{columns.stop - 1} y={rows.start}..{rows.stop - 1}"
    return Hint(name="one-place", message=message, where=where)


def _span(profile: Doubles) -> slice:
    """From the first to the last row or column that is not small beside the worst one."""
    (high,) = np.nonzero(20 * profile > profile.max())
    return slice(int(high[0]), int(high[-1]) + 1)


# --- tiles -----------------------------------------------------------------------------------------------------------

_STRIP = 16
"""Pixels over which differences are summed along a seam: what the picture shows there cancels out, a step stays.

Also the least side of a tile.
"""

_SEAM = 0.2
"""Step at a seam, of the largest one, from which on it is one."""

_ABOVE_OTHERS = 6
"""A seam's step is so many times as large as that of most other rows or columns."""

_LEAST_STEP = 0.25
"""Levels."""

_MOST_SEAMS = 15
_MOST_GAIN = 0.5
"""Contrast that a tile may have more or less; with less still, a blurred tile would count as one of another tone."""


def tiles(pair: Pictures) -> Hint | None:
    """Parts with straight seams between them, each with a tone of its own."""
    if min(pair.height, pair.width) < 2 * _STRIP:
        return None
    across, down = _seams(pair)
    if (not across and not down) or max(len(across), len(down)) > _MOST_SEAMS:
        return None
    rows = [slice(*ends) for ends in pairwise([0, *down, pair.height])]
    columns = [slice(*ends) for ends in pairwise([0, *across, pair.width])]
    left, tones = 0.0, []
    for part in product(rows, columns):
        if not spread(pair.actual[part]).any():
            return None  # what shows nothing has no tone
        mean, unexplained = _toned(pair.difference[part], pair.expected[part])
        tones.append(mean)
        left += unexplained
    if left > COLLAPSED * pair.varied:
        return None
    where = " ".join(f"{name}={','.join(map(str, seams))}" for name, seams in (("x", across), ("y", down)) if seams)
    message = recorded(
        "looks like tiles of another tone: {count:d} tiles with seams at {seams}, their means off by {least:+.2f} to "
        "{most:+.2f} levels; a tone for each lets the RMS error fall from {before:.2f} to {left:.2f}",
        count=len(tones),
        seams=where,
        least=min(tones),
        most=max(tones),
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="tiles", message=message, where=where)


def _seams(pair: Pictures) -> tuple[list[int], list[int]]:
    """Columns and rows at which the difference steps up or down along most of it, each the first of a new tile."""
    height, width = (side // _STRIP for side in (pair.height, pair.width))
    # 16 differences fit into 16 bits.
    rows = pair.difference[: height * _STRIP].reshape(height, _STRIP, -1).sum(axis=1, dtype=np.int16)
    across = np.abs(np.diff(rows.reshape(height, pair.width, 3).astype(np.float32), axis=1)).mean(axis=(0, 2))
    values = pair.difference[:, : width * _STRIP].reshape(pair.height, width, -1).astype(np.float32)
    columns = values @ np.tile(np.eye(3, dtype=np.float32), (_STRIP, 1))
    down = np.abs(np.diff(columns, axis=0)).mean(axis=(1, 2))
    return _high(across / _STRIP), _high(down / _STRIP)


def _high(steps: NDArray[np.float32]) -> list[int]:
    """Where the steps between neighbours stand out from the others; nothing where what lies between is too narrow."""
    high = steps > max(_SEAM * float(steps.max()), _ABOVE_OTHERS * float(np.median(steps)), _LEAST_STEP)
    seams = (np.flatnonzero(high) + 1).tolist()
    return seams if all(stop - start >= _STRIP for start, stop in pairwise([0, *seams, len(steps) + 1])) else []


def _toned(difference: NDArray[np.int16], expected: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean difference of a part, and the squared error that an offset and a gain for each channel leave there."""
    left = 0.0
    for channel in range(3):
        apart, level = (pixels[..., channel].astype(np.float64).ravel() for pixels in (difference, expected))
        apart_mean, level_mean = apart.mean(), level.mean()
        variance = float(level @ level) - len(level) * level_mean**2
        together = float(apart @ level) - len(level) * apart_mean * level_mean
        left += float(apart @ apart) - len(apart) * apart_mean**2
        gain = together / max(variance, 1.0)
        if abs(gain) <= _MOST_GAIN:
            left -= gain * together
    return float(difference.mean()), max(left, 0.0)
