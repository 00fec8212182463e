"""Every metric on one scale: the size of the error behind a value, so that one factor means the same for all."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal
from typing import Literal, NamedTuple


class Scale(NamedTuple):
    """How a metric counts, which follows from its unit and its direction.

    ``psnr_db`` is a logarithm of the error, ``mse`` its square, similarities such as ``ssim`` fall from 1 with its
    square as long as it is small (Wang et al., 2004: structure and contrast fall with the variance of the error), and
    distances such as ``relative_l2`` are the error.
    """

    unit: str
    better: Literal["higher", "lower"]

    def error(self, value: float) -> float:
        """Size of the error behind a value, 0 upwards; twice the error is twice the size.

        >>> DECIBEL.error(20.0), SIMILARITY.error(0.75), DISTANCE.error(-3.0)
        (0.1, 0.5, 3.0)
        """
        if self.unit == "dB":
            return float(10 ** (-value / 20))
        if self.better == "higher":
            return math.sqrt(max(0.0, 1 - value))
        return math.sqrt(value) if "²" in self.unit else abs(value)

    def value(self, error: float) -> float:
        """Value behind an error.

        >>> DECIBEL.value(0.1), SIMILARITY.value(0.5), DECIBEL.value(0.0)
        (20.0, 0.75, inf)
        """
        if self.unit == "dB":
            return -20 * math.log10(error) if error else math.inf
        if self.better == "higher":
            return 1 - error * error
        return error * error if "²" in self.unit else error

    def limit(self, error: float) -> float:
        """Value behind an error in few digits, never stricter than the exact one.

        >>> DECIBEL.limit(0.0123), SIMILARITY.limit(0.0413), DISTANCE.limit(0.012341)
        (38.2, 0.9982, 0.0124)
        """
        if self.unit == "dB":
            return math.floor(self.value(error) * 10) / 10
        if self.better == "higher":
            return float(1 - _rounded_up(error * error, digits=2))
        return float(_rounded_up(self.value(error), digits=3))


DECIBEL = Scale("dB", "higher")
SIMILARITY = Scale("", "higher")
DISTANCE = Scale("", "lower")


def _rounded_up(value: float, *, digits: int) -> Decimal:
    exact = Decimal(f"{value:.12g}")  # without what the last bits of a float add
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), rounding=ROUND_CEILING)
