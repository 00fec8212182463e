"""One side went through JPEG: its blocks of 8 by 8 pixels hold whole multiples of a few steps, the other side's do not.

JPEG turns the luma of each block into 64 cosines and keeps each as a multiple of a step (ITU-T T.81, A.3.3 and A.3.4).
Decoding to 8 bits blurs that by half a level or so, which is little beside steps of 2 and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.language import marked, recorded
from harness.records import Hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.compare.hints.pictures import Pictures

    Floats = NDArray[np.float32]

_GRID = 8
_FEWEST_BLOCKS = 32
_SOME_BLOCKS = 1024
"""Blocks of which the steps are learnt; what is said holds for all."""

_BUSY_BLOCKS = 256
"""Those of them that show most, from which the steps are learnt."""

_STEPS = (*range(2, 41), 44, 48, 53, 58, 64, 70, 77, 85, 94, 103, 113, 124)
"""Steps of a cosine, the large ones near enough; at 1 nothing is left to see behind the rounding of the pixels."""

_CLOSE = 0.2
"""Share of a step within which a value counts as a multiple."""

_BY_CHANCE = 0.4
_BEYOND_CHANCE = 2.2
"""Share of any values that are as close, and how many roots of their number more it must be: 4.5 deviations."""

_ON_STEPS = 0.8
_NOT_ON_STEPS = 0.48
"""Shares of the values that count: so many at least on the lossy side, at most on the other."""

_FEWEST_COSINES = 8
"""Cosines whose steps show; strokes of one width beside each other make a few of them by chance."""

_ROUNDED_FROM = 0.97
"""Share of the cosines of the lossy side that are the other side's rounded to the step, or next to it."""

_HALF = 0.6
"""Steps, that rounding moves a cosine by, and the rounding of the pixels."""

_QUARTER = (0.17, 0.33)
"""Steps, that rounding moves a cosine by on the mean: by a quarter of its own step, where noise moves all alike."""

_BY_A_QUARTER = 0.5
"""Share of the cosines of which that holds."""

_FEWEST_VALUES = 12
"""Values of a cosine of which a mean is taken."""


def lossy(pair: Pictures) -> Hint | None:
    """JPEG on one side and not on the other."""
    height, width = pair.height // _GRID, pair.width // _GRID
    if height * width < _FEWEST_BLOCKS:
        return None
    some = np.linspace(0, height * width - 1, min(_SOME_BLOCKS, height * width)).astype(int)
    actual, expected = (_cosines(picture, some // width, some % width) for picture in (pair.actual, pair.expected))
    for side in (_ACTUAL, _EXPECTED):
        lossy_side, other_side = (actual, expected) if side == _ACTUAL else (expected, actual)
        steps = _steps(lossy_side)
        if np.count_nonzero(steps) < _FEWEST_COSINES or not _Shares.of(lossy_side, other_side, steps).tell:
            continue
        rows, columns = (axis.ravel() for axis in np.indices((height, width)))
        actual, expected = (_cosines(picture, rows, columns) for picture in (pair.actual, pair.expected))
        shares = _Shares.of(*((actual, expected) if side == _ACTUAL else (expected, actual)), steps)
        if not shares.tell:
            return None
        message = recorded(
            "looks like lossy against lossless: the {side!s:s} side went through JPEG; in blocks of 8 x 8 px "
            "{share:.0%} of its luma cosines are multiples of the same steps, {others:.0%} of the other side's",
            side=side,
            share=shares.own,
            others=shares.other,
        )
        return Hint(name="lossy", message=message)
    return None


_ACTUAL, _EXPECTED = marked("actual"), marked("expected")


class _Shares(NamedTuple):
    """Shares of cosines that say whether one side is the other one with its cosines rounded to steps."""

    own: float
    """Values of the lossy side that are multiples of their steps."""
    other: float
    rounded: float
    """Values that are half a step at most away from the other side's."""
    by_a_quarter: float
    """Cosines whose values are a quarter of a step away from the other side's, on the mean."""

    @classmethod
    def of(cls, lossy_side: Floats, other_side: Floats, steps: Floats) -> _Shares:
        known = steps > 0
        own, other = (cosines[:, known] / steps[known] for cosines in (lossy_side, other_side))
        apart, telling = np.abs(own - other), np.abs(own) > 1 / 2
        counts = np.count_nonzero(telling, axis=0)
        many = counts >= _FEWEST_VALUES
        means = np.sum(apart, axis=0, where=telling)[many] / counts[many]
        quarter = np.count_nonzero((means > _QUARTER[0]) & (means < _QUARTER[1]))
        return cls(
            own=_multiples(own),
            other=_multiples(other),
            rounded=np.count_nonzero(apart < _HALF) / own.size,
            by_a_quarter=quarter / max(len(means), 1),
        )

    @property
    def tell(self) -> bool:
        """Whether they are those of a picture and its JPEG."""
        return (
            self.own >= _ON_STEPS
            and self.other <= _NOT_ON_STEPS
            and self.rounded >= _ROUNDED_FROM
            and self.by_a_quarter >= _BY_A_QUARTER
        )


def _multiples(values: Floats) -> float:
    """Share of the values near a whole number, of those beyond half of one."""
    telling = np.abs(values) > 1 / 2
    close = telling & (np.abs(values - np.rint(values)) < _CLOSE)
    return int(np.count_nonzero(close)) / max(int(np.count_nonzero(telling)), 1)


def _cosines(picture: NDArray[np.uint8], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Floats:
    """Discrete cosine transform of the luma (BT.601) of blocks given by row and column: ``float32[blocks, 64]``."""
    height, width = (side // _GRID * _GRID for side in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // _GRID, _GRID, width // _GRID, _GRID, 3)[rows, :, columns]
    luma = blocks.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(luma.reshape(-1, _GRID * _GRID) @ _TRANSFORM.T)


def _transform() -> Floats:
    """Matrix ``[64, 64]`` of the cosine transform of 8 by 8 values, orthonormal."""
    place = np.arange(_GRID)
    cosine = np.sqrt(2 / _GRID) * np.cos(np.pi * np.outer(place, 2 * place + 1) / (2 * _GRID))
    cosine[0] /= np.sqrt(2)
    return np.asarray(np.kron(cosine, cosine), dtype=np.float32)


_TRANSFORM = _transform()


def _steps(cosines: Floats) -> Floats:
    """The step of each of the 64 cosines, 0 where none shows."""
    busy = np.abs(cosines[np.argsort(-np.sum(np.square(cosines[:, 1:]), axis=1), kind="stable")[:_BUSY_BLOCKS]])
    steps = np.zeros(busy.shape[1], np.float32)
    for step in _STEPS:
        multiples = busy / np.float32(step)
        telling = multiples > 1 / 2
        close = telling & (np.abs(multiples - np.rint(multiples)) < _CLOSE)
        count = np.count_nonzero(telling, axis=0)
        enough = np.maximum(_ON_STEPS * count, _BY_CHANCE * count + _BEYOND_CHANCE * np.sqrt(count))
        steps[(count > 0) & (np.count_nonzero(close, axis=0) >= enough)] = step
    steps[0] = 0
    return steps
