"""Numbers that depend on a name and an index only, equal to the last bit on every platform."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_PIECE = np.uint64(0xFFFF)
_MEAN_OF_FOUR_PIECES = 2 * 0xFFFF
_STD_OF_FOUR_PIECES = 65536 / math.sqrt(3)


def hashed_words(name: str, count: int) -> NDArray[np.uint64]:
    """``count`` 64-bit words: the splitmix64 finaliser over a counter that starts at a digest of the name."""
    start = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    word = start + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    word = (word ^ (word >> np.uint64(30))) * _MIX_1
    word = (word ^ (word >> np.uint64(27))) * _MIX_2
    return word ^ (word >> np.uint64(31))


def bell(name: str, shape: tuple[int, ...], std: float) -> Doubles:
    """Nearly normal values of mean 0 and the given standard deviation, never beyond 3.5 of them.

    The sum of four 16-bit pieces is an exact integer and takes one multiplication; IEEE 754 rounds that, a square root
    and a quotient the same way everywhere, which holds for no sine, logarithm or dot product.
    """
    numbers = hashed_words(name, math.prod(shape))
    total = np.zeros(numbers.shape, dtype=np.int64)
    for shift in (0, 16, 32, 48):
        total += ((numbers >> np.uint64(shift)) & _PIECE).astype(np.int64)
    return ((total - _MEAN_OF_FOUR_PIECES).astype(np.float64) * (std / _STD_OF_FOUR_PIECES)).reshape(shape)
