"""Every metric on one scale: the size of the error behind a value, so that one factor means the same for all.

Metrics declare their scale. ``psnr_db`` is a logarithm of the error, ``mse`` its square, similarities such as ``ssim``
fall from 1 with its square as long as it is small (Wang et al., 2004: structure and contrast fall with the variance of
the error), and distances such as ``relative_l2`` are the error.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from harness import plugins

if TYPE_CHECKING:
    from harness.contracts import Scale


def scale_of(metric: str) -> Scale | None:
    """The scale that a metric declares; None for a metric of another package that declares none.

    >>> scale_of("psnr_db"), scale_of("ssim"), scale_of("mse")
    ('decibel', 'similarity', 'square')
    """
    return getattr(plugins.load("metrics", metric), "SCALE", None)


def error_of(scale: Scale, value: float) -> float:
    """Size of the error behind a value, 0 upwards; twice the error is twice the size.

    >>> error_of("decibel", 20.0), error_of("similarity", 0.75), error_of("distance", -3.0), error_of("square", 4.0)
    (0.1, 0.5, 3.0, 2.0)
    """
    match scale:
        case "decibel":
            return float(10 ** (-value / 20))
        case "similarity":
            return math.sqrt(max(0.0, 1 - value))
        case "square":
            return math.sqrt(value)
        case "distance":
            return abs(value)


def value_of(scale: Scale, error: float) -> float:
    """Value behind an error.

    >>> value_of("decibel", 0.1), value_of("similarity", 0.5), value_of("decibel", 0.0), value_of("square", 2.0)
    (20.0, 0.75, inf, 4.0)
    """
    match scale:
        case "decibel":
            return -20 * math.log10(error) if error else math.inf
        case "similarity":
            return 1 - error * error
        case "square":
            return error * error
        case "distance":
            return error


def limit_of(scale: Scale, error: float) -> float:
    """Value behind an error in few digits, never stricter than the exact one.

    >>> limit_of("decibel", 0.0123), limit_of("similarity", 0.0413), limit_of("distance", 0.012341)
    (38.2, 0.9982, 0.0124)
    """
    match scale:
        case "decibel":
            return math.floor(value_of(scale, error) * 10) / 10
        case "similarity":
            return float(1 - _rounded_up(error * error, digits=2))
        case "square" | "distance":
            return float(_rounded_up(value_of(scale, error), digits=3))


def _rounded_up(value: float, *, digits: int) -> Decimal:
    exact = Decimal(f"{value:.12g}")  # without what the last bits of a float add
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), rounding=ROUND_CEILING)
