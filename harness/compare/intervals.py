"""Confidence intervals for shares, for differences of paired shares or values, and for means.

Those for shares and paired differences never have no width.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_POWER = 0.8
_HALVINGS = 60


def share_interval(right: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a share, by Wilson (1927, J. Am. Stat. Assoc. 22:209).

    ``(p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)`` with ``p = right/total`` and ``n = total``.

    >>> tuple(round(end, 3) for end in share_interval(0, 10))
    (0.0, 0.278)
    """
    z, share = _quantile(confidence), right / total
    middle = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # Rounding must not push an end past what was seen.
    return max(0.0, min(share, (middle - reach) / scale)), min(1.0, max(share, (middle + reach) / scale))


def paired_interval(only_first: int, only_second: int, pairs: int, *, confidence: float = 0.90) -> tuple[float, float]:
    """Interval for the share of the first side less that of the second, by Tango (1998, Stat. Med. 17:891).

    ``only_first`` and ``only_second`` count the pairs in which just that side is right, out of ``n``. The interval
    holds every difference ``d`` that the score test does not reject: ``|only_first - only_second - n d| <= z s(d)``
    with ``s(d)^2 = n (2 q + d (1 - d))``, where ``q`` is the likeliest share of pairs in which just the second is right
    if the difference is ``d``. Without a differing pair its ends are ``-+z^2 / (n + z^2)``, where that of Wald has no
    width. Its confidence is near the nominal one, not always above it: see ``tests/compare/test_intervals.py``.

    >>> tuple(round(end, 4) for end in paired_interval(0, 0, 600))
    (-0.0045, 0.0045)
    """
    z, seen = _quantile(confidence), (only_first - only_second) / pairs

    def score(difference: float) -> float:
        return _score(only_first, only_second, pairs, difference)

    return _where(lambda d: score(d) <= z, -1.0, seen), _where(lambda d: score(d) < -z, seen, 1.0)


def paired_mean_interval(differences: Sequence[float], *, confidence: float = 0.90) -> tuple[float, float]:
    """Interval for the mean of paired differences from -1 to 1, of scores that know degrees.

    Student's, over the differences and two more, one of -1 and one of 1, as Bonett and Price do for paired shares
    (2012, J. Educ. Behav. Stat. 37:479). Without the two it has no width where no pair differs, and a score that falls
    rarely but far is called equal from pairs without a fall: see ``tests/compare/test_intervals.py``.

    >>> tuple(round(end, 4) for end in paired_mean_interval([0.0] * 600))
    (-0.0039, 0.0039)
    """
    mean, reach = mean_interval([*differences, -1.0, 1.0], confidence=confidence)
    reach = reach or 0.0
    return max(-1.0, mean - reach), min(1.0, mean + reach)


def pairs_needed(differing: float, margin: float, *, confidence: float = 0.90) -> int:
    """About how many pairs show equivalence within a margin, in four of five tries or more, if the sides are alike.

    ``(z1 + z2)^2 differing / margin^2`` is the usual number for two one-sided tests (8.6 for each at 90 % confidence),
    with ``differing`` the mean square of the differences, which is the share of pairs that differ where values are 0
    and 1. ``z1 (z1 + z2) / margin`` comes on top, because the interval has a width although no pair differs.

    >>> pairs_needed(0.0, 0.01), pairs_needed(0.05, 0.01)
    (482, 4764)
    """
    z, power = _quantile(confidence), NormalDist().inv_cdf((1 + _POWER) / 2)
    return math.ceil((z + power) ** 2 * differing / margin**2 + z * (z + power) / margin)


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float | None]:
    """Mean and half the width of its interval, by Student (1908, Biometrika 6:1): ``t s / sqrt(n)``.

    ``s`` is the standard deviation with ``n - 1`` below; the values are taken as independent of each other. One value
    has no interval.

    >>> mean, reach = mean_interval([1.0, 2.0, 3.0])
    >>> mean, round(reach, 3)
    (2.0, 2.484)
    """
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    degrees = len(values) - 1
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / degrees)
    return mean, _student(confidence, degrees) * spread / math.sqrt(len(values))


@cache
def _student(confidence: float, degrees: int) -> float:
    """The ``t`` between whose negative and itself Student's distribution has so much of its weight."""
    angle = _where(lambda angle: _student_weight(angle, degrees) >= confidence, 0.0, math.pi / 2)
    return math.sqrt(degrees) * math.tan(angle)


def _student_weight(angle: float, degrees: int) -> float:
    """Weight between ``-t`` and ``t`` with ``t = sqrt(degrees) tan(angle)``.

    26.7.3 and 26.7.4 of Abramowitz and Stegun, Handbook of Mathematical Functions.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for number in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (number - 1) / number
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _score(only_first: int, only_second: int, pairs: int, difference: float) -> float:
    """How many standard deviations lie between what was seen and a difference; falls as the difference grows."""
    gap = only_first - only_second - pairs * difference
    a = 2 * pairs
    b = (2 * pairs - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    likeliest = max(0.0, math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = pairs * (2 * likeliest + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


def _where(is_past: Callable[[float], bool], low: float, high: float) -> float:
    """Place from which a condition holds, found by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_past(middle) else (middle, high)
    return (low + high) / 2
