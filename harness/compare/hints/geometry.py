"""The same pixels at other places: mirrored, turned, transposed, shifted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.compare.hints.pictures import COLLAPSED, PROMISING, error_of, uneven_of
from harness.language import recordable, recorded
from harness.records import Hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harness.compare.hints.pictures import Pictures

    Picture = NDArray[np.uint8]

_FARTHEST = 16
"""Pixels, right or down: two cells of usual latents."""

_FEW, _MANY = 128, 1024
"""Pixels on which all shifts are tried, and those on which the best of them are."""

_BEST = 24
_UNLIKELY = 0.5
"""Share of the squared error of few pixels that no shift leaves: the pixels are no more than a sample."""

_MIRRORS: tuple[tuple[str, str, Callable[[Picture], Picture]], ...] = (
    ("mirrored", recordable("looks like the mirror image, left for right"), lambda it: it[:, ::-1]),
    ("mirrored", recordable("looks like the mirror image, top for bottom"), lambda it: it[::-1]),
    ("turned", recordable("looks like a turn by 180 degrees"), lambda it: it[::-1, ::-1]),
)
_TURNS: tuple[tuple[str, str, Callable[[Picture], Picture]], ...] = (
    ("turned", recordable("looks like a turn by 90 degrees clockwise"), lambda it: np.rot90(it, -1)),
    ("turned", recordable("looks like a turn by 90 degrees anticlockwise"), np.rot90),
    ("transposed", recordable("looks like the transposed picture, rows for columns"), lambda it: np.swapaxes(it, 0, 1)),
    (
        "transposed",
        recordable("looks like the transposed picture, from the opposite corner"),
        lambda it: it[::-1, ::-1].swapaxes(0, 1),
    ),
)
"""Names, words and what makes the actual picture of the expected one; the second group of square pictures only."""


def turned(pair: Pictures) -> Hint | None:
    """Mirrored, turned or transposed as a whole."""
    ways = _MIRRORS + _TURNS if pair.height == pair.width else _MIRRORS
    actual, _ = pair.sampled
    promising = [
        (error_of(pair.actual, turn(pair.expected)), number)
        for number, (_, _, turn) in enumerate(ways)
        if error_of(actual, pair.sample(turn(pair.expected))) <= PROMISING * pair.sampled_uneven
    ]
    # Pictures that are nearly symmetric fit several ways; of equal ones the first is the simplest.
    left, number = min(promising, default=(math.inf, 0))
    if left > COLLAPSED * pair.uneven:
        return None
    name, what, _ = ways[number]
    message = recorded(
        "{what!s}: undone the RMS error falls from {before:.2f} to {left:.2f}",
        what=what,
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name=name, message=message)


class Shift(NamedTuple):
    """Where pixels went, and what the RMS error of those that both pictures have is before and after."""

    right: int
    down: int
    before: float
    left: float


def shift(pair: Pictures) -> Hint | None:
    """All pixels up to 16 to the right or left, up or down."""
    move = found_shift(pair.actual, pair.expected)
    if not move:
        return None
    message = recorded(
        "looks like a shift by {way}: moved back the RMS error falls from {before:.2f} to {left:.2f}",
        way=way(move),
        before=move.before,
        left=move.left,
    )
    return Hint(name="shift", message=message)


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


def way(move: Shift) -> str:
    """A shift in words."""
    template = _WAYS[int(np.sign(move.right)), int(np.sign(move.down))]
    return recorded(template, across=abs(move.right), along=abs(move.down))


def found_shift(actual: Picture, expected: Picture) -> Shift | None:
    """The shift of ``uint8[H, W, C]`` that explains what differs, None where none does.

    Pixels that differ tell shifts apart; the best is checked on all pixels that both pictures have.
    """
    height, width, channels = actual.shape
    far = min(_FARTHEST, min(height, width) // 4 - 1)
    likely = _likely(actual, expected, far + 1)
    # One pixel more is looked at than is named: what fits best there may fit better still beyond.
    if not likely or max(map(abs, likely)) > far:
        return None
    right, down = likely
    actual_part = actual[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    same_place = expected[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    expected_part = expected[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    left = error_of(actual_part, expected_part)
    if left > COLLAPSED * uneven_of(actual_part, same_place):
        return None
    size = actual_part.shape[0] * actual_part.shape[1] * channels
    return Shift(right, down, math.sqrt(error_of(actual_part, same_place) / size), math.sqrt(left / size))


def _likely(actual: Picture, expected: Picture, far: int) -> tuple[int, int] | None:
    """The shift that leaves the least error in some of the pixels that differ; None where that is much."""
    height, width, channels = actual.shape
    if far <= 1:
        return None
    step = max(1, min(height, width) // 128)
    inner = (slice(far, height - far, step), slice(far, width - far, step))
    rows, columns = np.nonzero(np.any(actual[inner] != expected[inner], axis=2))
    if not len(rows):
        return None
    places = (far + step * rows) * width + far + step * columns
    steps = np.arange(-far, far + 1)
    downs, rights = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    actual_pixels, expected_pixels = actual.reshape(-1, channels), expected.reshape(-1, channels)

    def errors(some: NDArray[Any], chosen: NDArray[Any], *, channel: slice = slice(None)) -> NDArray[np.float32]:
        moved = expected_pixels[:, channel][some[:, None] - (downs[chosen] * width + rights[chosen])[None, :]]
        apart = moved.astype(np.float32) - actual_pixels[some, None, channel]
        return np.asarray(np.sum(np.square(apart), axis=(0, 2)))

    few, many = (
        places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)] for count in (_FEW, _MANY)
    )
    every = np.arange(len(downs))
    unmoved = np.array([len(every) // 2])
    # One channel is enough for a first look: the one that differs most.
    most = int(np.argmax(np.abs(actual_pixels[many].astype(np.int16) - expected_pixels[many]).sum(axis=0)))
    tried = errors(few, every, channel=slice(most, most + 1))
    if tried.min() > _UNLIKELY * tried[len(every) // 2]:
        return None
    # The nearest of equal ones first: a picture that repeats itself fits at several places.
    distance = np.abs(downs) + np.abs(rights)
    best = np.lexsort((distance, tried))[:_BEST]
    again = errors(many, best)
    chosen = int(best[np.lexsort((distance[best], again))[0]])
    if again.min() > _UNLIKELY * errors(many, unmoved)[0] or not distance[chosen]:
        return None
    return int(rights[chosen]), int(downs[chosen])
