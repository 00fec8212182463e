"""Pictures that show nothing where one was expected: one colour, nearly one colour, nothing but noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.fitness import FAINT, roughness
from harness.language import recorded
from harness.records import Hint

if TYPE_CHECKING:
    from harness.compare.hints.pictures import Pictures

ONLY_NOISE = "only-noise"
"""Name of the hint that an image is nothing but noise, and the expected one is not."""

_PLAIN = 8.0
"""Levels, standard deviation that one channel of a picture which shows something has at least."""

_KEPT = 0.3
"""Correlation with the expected picture from which on something of it is shown."""

_WHITE = 0.9
"""Mean squared step to the next pixel, of twice the variance: 1 for noise, near 0 for pictures."""

_SMOOTH = 0.6
_NOISY = 16.0
"""Levels, standard deviation from which on it is called noise and not one colour."""


def flat(pair: Pictures) -> Hint | None:
    """One colour where a picture was expected."""
    actual, expected = pair.spreads
    if np.any(actual) or not np.any(expected):
        return None
    colour = ", ".join(map(str, pair.actual[0, 0].tolist()))
    message = recorded("looks like a failed picture: every pixel is {colour}, as after NaN or overflow", colour=colour)
    return Hint(name="flat", message=message)


def faint(pair: Pictures) -> Hint | None:
    """Nearly one colour, and what little differs is nothing of the expected picture."""
    actual, expected = pair.spreads
    if actual.max() > FAINT or expected.max() < max(_PLAIN, 4 * actual.max()) or abs(_correlation(pair)) > _KEPT:
        return None
    bounds = [
        f"{low}..{high}" for low, high in zip(pair.actual.min(axis=(0, 1)), pair.actual.max(axis=(0, 1)), strict=True)
    ]
    message = recorded(
        "looks like a failed picture: nearly one colour, red {red:s}, green {green:s}, blue {blue:s}, with a standard "
        "deviation of at most {mine:.2f} levels where the expected side has up to {theirs:.2f}",
        red=bounds[0],
        green=bounds[1],
        blue=bounds[2],
        mine=actual.max(),
        theirs=expected.max(),
    )
    return Hint(name="faint", message=message)


def nothing_but_noise(pair: Pictures) -> Hint | None:
    """Pixels that have nothing to do with their neighbours, where those of the expected picture do."""
    actual, expected = pair.spreads
    if actual.max() < _NOISY or expected.max() < 1 or abs(_correlation(pair)) > _KEPT:
        return None
    steps = roughness(pair.actual, at_least=_WHITE)
    if min(steps) < _WHITE:
        return None
    expected_steps = roughness(pair.expected)
    if min(expected_steps) > _SMOOTH:
        return None
    message = recorded(
        "looks like a failed picture: nothing but noise; neighbouring pixels correlate by {mine:.2f}, those of the "
        "expected side by {theirs:.2f}",
        mine=1 - min(steps),
        theirs=1 - min(expected_steps),
    )
    return Hint(name=ONLY_NOISE, message=message)


def _correlation(pair: Pictures) -> float:
    """Correlation of all values; 0 where one side is one colour.

    From the variances: ``V(a - e) = V(a) + V(e) - 2 C(a, e)``, over all channels, each around its own mean.
    """
    actual, expected = (float(np.sum(spreads**2)) for spreads in pair.spreads)
    if not actual or not expected:
        return 0.0
    return float(actual + expected - pair.uneven / pair.pixels) / (2 * math.sqrt(actual * expected))
