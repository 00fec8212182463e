"""Two pictures as the hints look at them: what several tests need is made once, and every sum is over all pixels.

``sampled`` is the one exception. It only discards: what a test says of two pictures has been checked on all of them.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.compare.structure import structure
from harness.fitness import by_channel, spread
from harness.language import marked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Doubles = NDArray[np.float64]

NAMES = (marked("red"), marked("green"), marked("blue"))

COLLAPSED = 0.1
"""Share of the squared error that may be left when the right cause is undone: rounding and noise stay."""

_EXACT = 0.02
_ROUNDED = 0.5
"""Share of the squared error, or levels RMS, that may be left where a formula with few numbers is named."""

PROMISING = 0.2
"""Share that may be left of a sample, so that the test is made on all pixels."""

_SAMPLED_SIDE = 96


class Pictures:
    """A pair ``uint8[H, W, 3]`` of equal shape, and what is known of it; arrays of it must not be changed."""

    def __init__(self, actual: Picture, expected: Picture) -> None:
        self.actual = np.ascontiguousarray(actual)
        self.expected = np.ascontiguousarray(expected)
        self.height, self.width, _ = self.actual.shape
        self.pixels = self.height * self.width

    @cached_property
    def difference(self) -> NDArray[np.int16]:
        """``actual - expected``, ``int16[H, W, 3]``."""
        return np.subtract(self.actual, self.expected, dtype=np.int16)

    @cached_property
    def squares(self) -> NDArray[np.int32]:
        """Squared differences, ``int32[H, W, 3]``."""
        return np.square(self.difference, dtype=np.int32)

    @cached_property
    def channel_errors(self) -> Doubles:
        """Sum of the squared differences of each channel; exact."""
        return by_channel(self.squares)

    @cached_property
    def means(self) -> Doubles:
        """Mean difference of each channel."""
        return np.asarray(by_channel(self.difference) / self.pixels)

    @cached_property
    def profiles(self) -> tuple[Doubles, Doubles]:
        """Squared error of each row and of each column."""
        wide = (row.astype(np.float32) for row in self.difference.reshape(self.height, -1))
        rows = np.array([np.vdot(row, row) for row in wide])
        flat = self.squares.reshape(self.height, -1)
        columns = flat.sum(axis=0, dtype=np.int64).reshape(-1, 3).sum(axis=1)
        return rows.astype(np.float64), columns.astype(np.float64)

    @cached_property
    def error(self) -> float:
        """Sum of the squared differences; exact."""
        return float(self.channel_errors.sum())

    @cached_property
    def uneven(self) -> float:
        """What is left of the squared error without a constant offset of each channel.

        A test that moves levels or pixels is compared with that: on smooth pictures an offset explains as much.
        """
        return float(self.error - self.pixels * np.sum(self.means**2))

    @cached_property
    def spreads(self) -> tuple[Doubles, Doubles]:
        """Standard deviation of each channel of the actual and of the expected picture; exactly 0 for one colour."""
        return spread(self.actual), spread(self.expected)

    @cached_property
    def varied(self) -> float:
        """As ``uneven``, and no more than the actual picture varies itself.

        What makes the actual picture out of the expected one is compared with that: where hardly anything is left to
        see, one colour for all would explain as much.
        """
        varied: float = np.sum(self.spreads[0] ** 2) * self.pixels
        return min(self.uneven, varied)

    @cached_property
    def close(self) -> float:
        """Squared error that may be left by a formula with few numbers: it fits, or it is not the one."""
        return min(COLLAPSED * self.varied, max(_EXACT * self.varied, _ROUNDED**2 * self.actual.size))

    @cached_property
    def structure(self) -> float | None:
        """What the actual picture keeps of the structure of the expected one."""
        return structure(self.actual, self.expected)

    @cached_property
    def step(self) -> int:
        """Every so many rows and columns are in a sample: odd, so that no pattern of few pixels hides between them."""
        step: int = min(self.height, self.width) // _SAMPLED_SIDE
        return step // 2 * 2 + 1

    def sample(self, picture: NDArray[Any]) -> NDArray[np.float32]:
        """Some of the pixels of a picture of that size, ``float32[h, w, ...]``."""
        return picture[self.step // 2 :: self.step, self.step // 2 :: self.step].astype(np.float32)

    @cached_property
    def sampled(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Some of the pixels of the actual and of the expected picture."""
        return self.sample(self.actual), self.sample(self.expected)

    @cached_property
    def sampled_uneven(self) -> float:
        """As ``uneven``, of the sample."""
        return uneven_of(*self.sampled)

    @cached_property
    def joint(self) -> NDArray[np.int64]:
        """How many pixels have which levels: ``[channel, expected level, actual level]``."""
        codes = self.expected.astype(np.uint16) << 8 | self.actual
        return np.stack(
            [np.bincount(codes[..., channel].ravel(), minlength=1 << 16).reshape(256, 256) for channel in range(3)]
        )

    def rms(self, total: float) -> float:
        """Root mean square of a squared error of all values."""
        return math.sqrt(max(total, 0) / self.actual.size)


def error_of(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Sum of the squared differences of two arrays of equal shape, exact for 8-bit ones."""
    if actual.dtype != np.uint8 or expected.dtype != np.uint8:
        return float(np.sum(np.square(actual - expected), dtype=np.float64))
    return float(np.square(np.subtract(actual, expected, dtype=np.int16), dtype=np.int32).sum(dtype=np.int64))


def uneven_of(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """As ``Pictures.uneven``, of two arrays ``[H, W, C]``."""
    apart = actual.astype(np.float32) - expected.astype(np.float32)
    means = apart.mean(axis=(0, 1), dtype=np.float64)
    return float(np.sum(np.square(apart), dtype=np.float64) - apart.shape[0] * apart.shape[1] * np.sum(means * means))


def levels(values: NDArray[Any]) -> Picture:
    """Values as a picture has them: rounded, and cut off at 0 and 255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
