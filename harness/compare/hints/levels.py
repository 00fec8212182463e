"""Other levels at the same places: an offset, the negative, a curve, fewer levels, decimals cut off."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from harness.compare.hints.pictures import COLLAPSED, PROMISING, error_of, levels
from harness.language import recorded
from harness.records import Hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.compare.hints.pictures import Pictures

    Doubles = NDArray[np.float64]

_OFFSET_SPREAD = 1
"""Levels, RMS, that the differences may spread around their mean: an offset is the same everywhere, gamma is not."""

_FEWEST_LEVELS = 8
"""A curve through fewer points is none."""

_LEAST_BEND = 1.5
"""Levels by which a curve moves some level at least: less is rounding to other steps."""

_FEWER = 0.75
"""Share of the expected levels that are left at most where levels are called fewer."""

_TRUNCATED_SHARE = (0.2, 0.8)
"""Share of values, in each quarter of the picture, that truncation changes: half, less where the picture is black."""


def offset(pair: Pictures) -> Hint | None:
    """The same number of levels more or less in all pixels of a channel."""
    allowed = min(COLLAPSED * pair.error, _OFFSET_SPREAD**2 * pair.actual.size)
    if pair.uneven <= allowed:
        red, green, blue = pair.means
        message = recorded(
            "looks like a constant offset: red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f} levels; without it the "
            "RMS error falls from {before:.2f} to {left:.2f}",
            red=red,
            green=green,
            blue=blue,
            before=pair.rms(pair.error),
            left=pair.rms(pair.uneven),
        )
        return Hint(name="offset", message=message)
    return _cut_off_offset(pair)


def _cut_off_offset(pair: Pictures) -> Hint | None:
    """As much more or less in all pixels, unless 0 or 255 is in the way."""
    actual, expected = pair.sampled
    inside = (actual > 0) & (actual < 255)  # noqa: PLR2004 - the ends of the scale
    if np.any(np.count_nonzero(inside, axis=(0, 1)) < _FEWEST_LEVELS):
        return None
    means = np.rint(np.sum((actual - expected) * inside, axis=(0, 1)) / np.count_nonzero(inside, axis=(0, 1)))
    if not np.any(means) or error_of(actual, np.clip(expected + means, 0, 255)) > PROMISING * error_of(
        actual, expected
    ):
        return None
    table = levels(np.arange(256)[:, None] + means)
    left = float(
        sum(
            counts[level] @ (np.arange(256) - int(table[level, channel])) ** 2
            for channel, counts in enumerate(pair.joint)
            for level in range(256)
        )
    )
    if left > min(COLLAPSED * pair.uneven, _OFFSET_SPREAD**2 * pair.actual.size):
        return None
    message = recorded(
        "looks like a constant offset, cut off at 0 and 255: red {red:+.0f}, green {green:+.0f}, blue {blue:+.0f} "
        "levels; without it the RMS error falls from {before:.2f} to {left:.2f}",
        red=means[0],
        green=means[1],
        blue=means[2],
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="offset", message=message)


def negative(pair: Pictures) -> Hint | None:
    """Black for white."""
    actual, expected = pair.sampled
    if error_of(255 - actual, expected) > PROMISING * pair.sampled_uneven:
        return None
    left = error_of(~pair.actual, pair.expected)
    if left > COLLAPSED * pair.uneven:
        return None
    message = recorded(
        "looks like the negative: turned back the RMS error falls from {before:.2f} to {left:.2f}",
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="negative", message=message)


# --- one curve for all channels --------------------------------------------------------------------------------------


def posterised(pair: Pictures) -> Hint | None:
    """Fewer levels, each in the place of those around it."""
    if not _promising(pair):
        return None
    counts = pair.joint.sum(axis=0)
    (actual,), (expected,) = np.nonzero(counts.sum(axis=0)), np.nonzero(counts.sum(axis=1))
    if len(actual) > _FEWER * len(expected) or len(expected) < _FEWEST_LEVELS:
        return None
    curve, left = _curve(counts)
    widest = int(np.diff(actual).max(initial=0))
    if left > COLLAPSED * pair.varied or np.abs(curve - expected).max() > widest:
        return None
    message = recorded(
        "looks like fewer levels: {mine:d} in the place of {theirs:d}, the nearest in the place of each; rounded alike "
        "the RMS error falls from {before:.2f} to {left:.2f}",
        mine=len(actual),
        theirs=len(expected),
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="posterised", message=message)


def tone(pair: Pictures) -> Hint | None:
    """One curve from expected to actual levels that never falls, whatever its form: gamma, range, contrast."""
    return _one_curve(pair, pair.close)


def tone_and_more(pair: Pictures) -> Hint | None:
    """As ``tone``, with something else on top of it, such as noise."""
    return _one_curve(pair, COLLAPSED * pair.varied)


def _one_curve(pair: Pictures, allowed: float) -> Hint | None:
    if not _promising(pair):
        return None
    counts = pair.joint.sum(axis=0)
    (known,) = np.nonzero(counts.sum(axis=1))
    if len(known) < _FEWEST_LEVELS:
        return None
    curve, left = _curve(counts)
    if left > allowed or np.abs(curve - known).max() < _LEAST_BEND:
        return None
    middle = len(known) // 2
    message = recorded(
        "looks like another gamma, range or contrast: {low:d} became {low_now:.0f}, {middle:d} became "
        "{middle_now:.0f}, {high:d} became {high_now:.0f}; one curve for all pixels lets the RMS error fall from "
        "{before:.2f} to {left:.2f}",
        low=known[0],
        low_now=curve[0],
        middle=known[middle],
        middle_now=curve[middle],
        high=known[-1],
        high_now=curve[-1],
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="tone", message=message)


def _promising(pair: Pictures) -> bool:
    """Whether one curve explains a sample."""
    actual, expected = (pixels.ravel().astype(np.intp) for pixels in pair.sampled)
    counts = np.bincount(expected, minlength=256)
    sums = np.bincount(expected, weights=actual, minlength=256)
    left = float(actual @ actual) - float(np.sum(sums**2 / np.maximum(counts, 1)))
    return left <= PROMISING * pair.sampled_uneven


def _curve(counts: NDArray[np.int64]) -> tuple[Doubles, float]:
    """The rising curve nearest to all pixels, at each level that the expected picture has, and the error it leaves.

    Neighbours that would fall are pooled (Ayer et al. 1955), which gives the least squares.
    """
    weights = counts.sum(axis=1)
    (known,) = np.nonzero(weights)
    level = np.arange(256)
    means = (counts @ level)[known] / weights[known]
    pools: list[tuple[float, float, int]] = []
    for mean, weight in zip(means.tolist(), weights[known].tolist(), strict=True):
        pool = (mean, float(weight), 1)
        while pools and pools[-1][0] >= pool[0]:
            low, heavy, number = pools.pop()
            total = heavy + pool[1]
            pool = ((low * heavy + pool[0] * pool[1]) / total, total, number + pool[2])
        pools.append(pool)
    curve = np.repeat([mean for mean, _, _ in pools], [number for _, _, number in pools])
    left = float(np.sum(counts[known] * (level - curve[:, None]) ** 2))
    return curve, left


# --- rounding --------------------------------------------------------------------------------------------------------


def truncation(pair: Pictures) -> Hint | None:
    """Differences of one level, all of one sign, in about half of the values, all over the picture."""
    low, high = int(pair.difference.min()), int(pair.difference.max())
    if (low, high) not in {(-1, 0), (0, 1)}:
        return None
    rows, columns = ((slice(None, side // 2), slice(side // 2, None)) for side in pair.actual.shape[:2])
    parts = [pair.difference[part] for part in product(rows, columns)]
    shares = [np.count_nonzero(part) / part.size for part in parts]
    if min(shares) < _TRUNCATED_SHARE[0] or max(shares) > _TRUNCATED_SHARE[1]:
        return None
    share = pair.error / pair.actual.size
    if low < 0:
        message = recorded(
            "looks like truncation on the actual side where the expected side rounds: {share:.0%} of the values are "
            "one level lower and none the other way; signed mean {mean:+.2f}",
            share=share,
            mean=-share,
        )
    else:
        message = recorded(
            "looks like truncation on the expected side where the actual side rounds: {share:.0%} of the values are "
            "one level higher and none the other way; signed mean {mean:+.2f}",
            share=share,
            mean=share,
        )
    return Hint(name="truncation", message=message)
