"""What kind of difference two pictures have: cheap tests that recognise usual causes by their pattern.

Most tests undo a cause and look whether the error collapses. A hint says what a difference looks like and with what
evidence; it is never judged, and where several causes explain a difference equally well the simplest is named.
"""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from harness.language import marked, recordable, recorded
from harness.records import Hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Plane = NDArray[np.float32]

_COLLAPSED = 0.1
"""Share of the squared error that may be left when the right cause is undone: rounding and noise stay."""

_FEWEST_PIXELS = 256
"""Below that nearly any cause fits nearly any difference."""

_OFFSET_SPREAD = 1
"""Levels, RMS, that the differences may spread around their mean: an offset is the same everywhere, gamma is not."""

_FARTHEST_SHIFT = 2
_NAMES = (marked("red"), marked("green"), marked("blue"))
_TRUNCATED_SHARE = (0.2, 0.8)
"""Share of values, in each quarter of the picture, that truncation changes: half, less where the picture is black."""

_ELSEWHERE = 0.05
"""Share of the squared error that may lie outside of the place that is named."""

_BORDERS = (1, 2, 4, 8, 16)
_SMALL_PART = 8
"""A place is small, and a border thin, up to one part in so many."""

_BLOCK = 32
_SMALLEST_BLOCK = 4
_BLOCKS_A_SIDE = 8
_UNRELATED = 0.5
"""Correlation of block means: photographs of different things reach 0.48, one with noise of sigma 64 keeps 0.9."""


def hints(actual: Picture, expected: Picture) -> list[Hint]:
    """What the difference between two pictures ``uint8[H, W, 3]`` of equal shape looks like; empty when nothing fits.

    >>> expected = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    >>> hints(255 - expected, expected)[0].name
    'negative'
    >>> hints(expected, expected)
    []
    """
    if min(actual.shape) == 0 or actual.shape[0] * actual.shape[1] < _FEWEST_PIXELS:
        return []
    mine, theirs = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
    if not _error(mine, theirs):
        return []
    whole = (_flat, _offset, _negative, _channels, _shift, _tone)
    found = [_first(whole, mine, theirs), _truncation(mine, theirs), _place(mine, theirs), _other_picture(mine, theirs)]
    return [hint for hint in found if hint]


def _first(tests: Iterable[Callable[[Picture, Picture], Hint | None]], *pictures: Picture) -> Hint | None:
    """The first hint that fits; tests after it are not made."""
    return next(filter(None, (test(*pictures) for test in tests)), None)


def _error(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Sum of the squared differences; exact."""
    return float(cv2.norm(actual, expected, cv2.NORM_L2SQR))


def _uneven(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """What is left of the squared error without a constant offset of each channel.

    A test that moves levels or pixels is held against that: on flat and smooth pictures an offset explains as much.
    """
    means = _means(actual) - _means(expected)
    return float(_error(actual, expected) - actual.shape[0] * actual.shape[1] * np.sum(means * means))


def _rms(total: float, pictures: Picture) -> float:
    return math.sqrt(max(total, 0) / pictures.size)


# --- the whole picture -----------------------------------------------------------------------------------------------


def _flat(actual: Picture, expected: Picture) -> Hint | None:
    if np.any(_spread(actual)) or not np.any(_spread(expected)):
        return None
    colour = ", ".join(map(str, actual[0, 0].tolist()))
    words = recorded("looks like a failed picture: every pixel is {colour}, as after NaN or overflow", colour=colour)
    return Hint(name="flat", message=words)


def _spread(picture: Picture) -> NDArray[np.float64]:
    """Standard deviation of each channel; exactly 0 for one colour."""
    return np.asarray(cv2.meanStdDev(picture)[1])


def _offset(actual: Picture, expected: Picture) -> Hint | None:
    means = _means(actual) - _means(expected)
    before, left = _error(actual, expected), _uneven(actual, expected)
    allowed = min(_COLLAPSED * before, _OFFSET_SPREAD**2 * actual.size)
    if left > allowed:
        return None
    red, green, blue = means
    words = recorded(
        "looks like a constant offset: red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f} levels; without it the RMS "
        "error falls from {before:.2f} to {left:.2f}",
        red=red,
        green=green,
        blue=blue,
        before=_rms(before, actual),
        left=_rms(left, actual),
    )
    return Hint(name="offset", message=words)


def _means(picture: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(cv2.mean(picture)[:3])


def _negative(actual: Picture, expected: Picture) -> Hint | None:
    before, left = _error(actual, expected), _error(~actual, expected)
    if left > _COLLAPSED * _uneven(actual, expected):
        return None
    return Hint(
        name="negative",
        message=recorded(
            "looks like the negative: turned back the RMS error falls from {before:.2f} to {left:.2f}",
            before=_rms(before, actual),
            left=_rms(left, actual),
        ),
    )


def _channels(actual: Picture, expected: Picture) -> Hint | None:
    errors = [[_error(mine, theirs) for theirs in cv2.split(expected)] for mine in cv2.split(actual)]
    left, order = min((sum(errors[own][other] for own, other in enumerate(order)), order) for order in _ORDERS)
    before = _error(actual, expected)
    if left > _COLLAPSED * _uneven(actual, expected):
        return None
    held = ", ".join(
        recorded("{channel!s:s} holds {other!s:s}", channel=_NAMES[own], other=_NAMES[other])
        for own, other in enumerate(order)
        if own != other
    )
    return Hint(
        name="channels",
        message=recorded(
            "looks like swapped channels: {held}; put back the RMS error falls from {before:.2f} to {left:.2f}",
            held=held,
            before=_rms(before, actual),
            left=_rms(left, actual),
        ),
    )


_ORDERS = tuple(permutations(range(3)))


def _shift(actual: Picture, expected: Picture) -> Hint | None:
    edge = _FARTHEST_SHIFT
    height, width, _ = actual.shape
    if min(height, width) <= 4 * edge:
        return None
    inner = actual[edge:-edge, edge:-edge]

    def moved(right: int, down: int) -> Picture:
        return expected[edge - down : height - edge - down, edge - right : width - edge - right]

    before = _error(inner, moved(0, 0))
    steps = range(-edge, edge + 1)
    left, right, down = min((_error(inner, moved(x, y)), x, y) for x, y in product(steps, steps))
    if not before or left > _COLLAPSED * _uneven(inner, moved(0, 0)):
        return None
    way = _WAYS[int(np.sign(right)), int(np.sign(down))]
    words = recorded(
        "looks like a shift by {way}: moved back the RMS error falls from {before:.2f} to {left:.2f}",
        way=way.format(across=abs(right), along=abs(down)),
        before=_rms(before, inner),
        left=_rms(left, inner),
    )
    return Hint(name="shift", message=words)


_WAYS = {
    (1, 0): recordable("{across:d} px right"),
    (-1, 0): recordable("{across:d} px left"),
    (0, 1): recordable("{along:d} px down"),
    (0, -1): recordable("{along:d} px up"),
    (1, 1): recordable("{across:d} px right and {along:d} px down"),
    (1, -1): recordable("{across:d} px right and {along:d} px up"),
    (-1, 1): recordable("{across:d} px left and {along:d} px down"),
    (-1, -1): recordable("{across:d} px left and {along:d} px up"),
}
"""Directions by the signs of what is right and down."""


def _tone(actual: Picture, expected: Picture) -> Hint | None:
    """One curve from expected to actual levels, whatever its form: gamma, range, contrast."""
    step = max(1, min(actual.shape[:2]) // _SAMPLED_SIDE)
    mine, theirs = (picture[::step, ::step].ravel().astype(np.int64) for picture in (actual, expected))
    counts = np.bincount(theirs)
    (levels,) = np.nonzero(counts)
    if len(levels) < _FEWEST_LEVELS:
        return None
    sums = np.bincount(theirs, weights=mine)[levels]
    before = float(np.sum((mine - theirs) ** 2))
    left = float(np.sum(mine * mine) - np.sum(sums * sums / counts[levels]))
    if not before or left > _COLLAPSED * before:
        return None
    curve = dict(zip(levels.tolist(), (sums / counts[levels]).tolist(), strict=True))
    shown = (levels[0], levels[len(levels) // 2], levels[-1])
    points = ", ".join(
        recorded("{level:d} became {found:.0f}", level=level, found=curve[int(level)]) for level in shown
    )
    words = recorded(
        "looks like another gamma, range or contrast: {points}; one curve for all pixels lets the RMS error fall from "
        "{before:.2f} to {left:.2f}",
        points=points,
        before=math.sqrt(before / mine.size),
        left=math.sqrt(max(left, 0) / mine.size),
    )
    return Hint(name="tone", message=words)


_SAMPLED_SIDE = 256
"""A curve shows in about so many rows and columns of any picture."""
_FEWEST_LEVELS = 8
"""A curve through fewer points is none."""


def _truncation(actual: Picture, expected: Picture) -> Hint | None:
    """Differences of one level, all of one sign, in about half of the values, all over the picture."""
    if cv2.norm(actual, expected, cv2.NORM_INF) != 1:
        return None
    differing = _error(actual, expected)
    signed = float(np.sum(_means(actual) - _means(expected))) * actual.shape[0] * actual.shape[1]
    if abs(abs(signed) - differing) > 1 / 2:
        return None
    rows, columns = ((slice(None, side // 2), slice(side // 2, None)) for side in actual.shape[:2])
    shares = [_error(actual[part], expected[part]) / actual[part].size for part in product(rows, columns)]
    if min(shares) < _TRUNCATED_SHARE[0] or max(shares) > _TRUNCATED_SHARE[1]:
        return None
    share, mean = differing / actual.size, signed / actual.size
    if signed < 0:
        words = recorded(
            "looks like truncation on the actual side where the expected side rounds: {share:.0%} of the values are "
            "one level lower and none the other way; signed mean {mean:+.2f}",
            share=share,
            mean=mean,
        )
    else:
        words = recorded(
            "looks like truncation on the expected side where the actual side rounds: {share:.0%} of the values are "
            "one level higher and none the other way; signed mean {mean:+.2f}",
            share=share,
            mean=mean,
        )
    return Hint(name="truncation", message=words)


# --- a place in the picture ------------------------------------------------------------------------------------------


def _place(actual: Picture, expected: Picture) -> Hint | None:
    apart = cv2.absdiff(actual, expected)
    channels = cv2.multiply(apart, apart, dtype=cv2.CV_32F)
    squares = np.asarray(cv2.transform(channels, np.ones((1, 3), np.float32)), dtype=np.float32)
    return _border(squares) or _one_place(squares)


def _border(squares: Plane) -> Hint | None:
    total = _sum(squares)
    for depth in _BORDERS:
        if min(squares.shape) < _SMALL_PART * depth:
            return None
        left = _sum(squares[depth:-depth, depth:-depth])
        if left <= _ELSEWHERE * total:
            strips = {
                recorded("top"): squares[:depth].any(axis=0),
                recorded("bottom"): squares[-depth:].any(axis=0),
                recorded("left"): squares[:, :depth].any(axis=1),
                recorded("right"): squares[:, -depth:].any(axis=1),
            }
            sides = ", ".join(name for name, differs in strips.items() if 2 * np.count_nonzero(differs) > differs.size)
            words = recorded(
                "looks like a broken border: {share:.1%} of the squared error lies within {depth:d} px of the edge "
                "({sides})",
                share=1 - left / total,
                depth=depth,
                sides=sides,
            )
            return Hint(name="border", message=words, where=sides) if sides else None
    return None


def _one_place(squares: Plane) -> Hint | None:
    rows, columns = (_span(squares.sum(axis=axis, dtype=np.float64)) for axis in (1, 0))
    window = squares[rows, columns]
    share = _sum(window) / _sum(squares)
    # Few values that differ here and there are no damage, even where chance has put them close together.
    dense = 4 * np.count_nonzero(window) >= window.size
    if _SMALL_PART * window.size > squares.size or share < 1 - _ELSEWHERE or not dense:
        return None
    where = f"x={columns.start}..{columns.stop - 1} y={rows.start}..{rows.stop - 1}"
    height, width = window.shape
    return Hint(
        name="one-place",
        message=recorded(
            "looks like damage in one place: {share:.1%} of the squared error lies in {width:d} x {height:d} px",
            share=share,
            width=width,
            height=height,
        ),
        where=where,
    )


def _span(profile: NDArray[np.float64]) -> slice:
    """From the first to the last row or column that is not small beside the worst one."""
    (high,) = np.nonzero(20 * profile > profile.max())
    return slice(int(high[0]), int(high[-1]) + 1)


def _sum(squares: Plane) -> float:
    return float(squares.sum(dtype=np.float64))


# --- another picture -------------------------------------------------------------------------------------------------


def _other_picture(actual: Picture, expected: Picture) -> Hint | None:
    """Means of blocks, grey: inaccuracy and most faults keep them, other noise does not."""
    block = min(_BLOCK, min(actual.shape[:2]) // _BLOCKS_A_SIDE)
    if block < _SMALLEST_BLOCK:
        return None
    mine, theirs = _block_means(actual, block), _block_means(expected, block)
    # Where the blocks hardly differ there is no structure that could be kept.
    if min(mine.std(), theirs.std()) < 1:
        return None
    correlation = float(np.corrcoef(mine, theirs)[0, 1])
    if abs(correlation) >= _UNRELATED:
        return None
    return Hint(
        name="other-picture",
        message=recorded(
            "looks like another picture, as from other noise, another seed or prompt: the means of {count:d} blocks of "
            "{side:d} x {side:d} px correlate by {correlation:.2f}",
            count=mine.size,
            side=block,
            correlation=correlation,
        ),
    )


def _block_means(picture: Picture, block: int) -> NDArray[np.float64]:
    """Means in rows from the top left, rounded to whole levels in each channel."""
    height, width = (side // block * block for side in picture.shape[:2])
    small = cv2.resize(picture[:height, :width], (width // block, height // block), interpolation=cv2.INTER_AREA)
    return np.asarray(small.mean(axis=2, dtype=np.float64)).ravel()
