"""What kind of difference two pictures have: cheap tests that recognise usual causes by their pattern.

Most tests undo a cause and look whether the error collapses. A hint says what a difference looks like and with what
evidence; it is never judged. The tests are made in the order of ``ORDER``, from the simplest explanation on, and the
first that holds for all pixels is the hint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.compare.hints import channels, failed, geometry, levels, lossy, other, patterns, places
from harness.compare.hints.pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harness.records import Hint

ORDER: tuple[Callable[[Pictures], Hint | None], ...] = (
    # The picture shows nothing.
    failed.flat,
    failed.faint,
    failed.nothing_but_noise,
    # One number for each channel, or none, explains all pixels.
    channels.missing,
    # These two fit to the level or are not said; an offset may leave as much as one, so that it would hide them.
    channels.matrix,
    channels.scaled,
    levels.offset,
    levels.negative,
    levels.truncation,
    channels.exchanged,
    channels.inverted,
    geometry.turned,
    channels.grey,
    channels.copied,
    channels.moved,
    geometry.shift,
    # It lies somewhere.
    places.border,
    places.one_place,
    # Many numbers explain all pixels.
    levels.posterised,
    levels.tone,
    channels.colours,
    levels.tone_and_more,
    places.tiles,
    patterns.pattern,
    lossy.lossy,
    # What cannot be undone.
    patterns.noise,
    other.other_picture,
)
"""All tests; the first that holds names the difference."""

_FEWEST_PIXELS = 256
"""Below that nearly any cause fits nearly any difference."""


def hints(actual: NDArray[np.uint8], expected: NDArray[np.uint8]) -> list[Hint]:
    """What the difference between two pictures ``uint8[H, W, 3]`` of equal shape looks like; empty when nothing fits.

    >>> expected = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    >>> hints(255 - expected, expected)[0].name
    'negative'
    >>> hints(expected, expected)
    []
    """
    return explained(Pictures(actual, expected))


def explained(pair: Pictures) -> list[Hint]:
    """As ``hints``, for a pair of which more is asked."""
    if pair.pixels < _FEWEST_PIXELS or np.array_equal(pair.actual, pair.expected):
        return []
    return [hint for hint in [next(filter(None, (test(pair) for test in ORDER)), None)] if hint]
