"""Channels that are exchanged, missing, inverted, moved, scaled or mixed, and grey where there were colours."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.compare.hints.geometry import found_shift, way
from harness.compare.hints.pictures import COLLAPSED, NAMES, PROMISING, error_of, levels, uneven_of
from harness.language import recordable, recorded
from harness.records import Hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.compare.hints.pictures import Pictures

    Doubles = NDArray[np.float64]

_ORDERS = tuple(permutations(range(3)))

_UNCHANGED = 0.05
"""Share of the squared error up to which a channel counts as the same."""

_SAME_GAIN = 0.02
"""Up to which gains count as the same: one curve for all channels is simpler."""

_ROUNDED = 0.5
"""Levels, RMS, that rounding leaves in channels which stay."""

_SHOWING = 2.0
"""Levels, standard deviation of a channel that shows something."""

_GREY = 2
"""Levels by which the channels of grey may differ: rounding of a decoder."""

_COLOURED = 2.0
"""Levels, mean difference between the largest and the smallest value of a pixel, from which on it is called colour."""


def exchanged(pair: Pictures) -> Hint | None:
    """Each channel in another one's place."""
    errors = _errors(*pair.sampled)
    left, order = min((float(sum(errors[own, other] for own, other in enumerate(order))), order) for order in _ORDERS)
    if left > PROMISING * pair.sampled_uneven or order == (0, 1, 2):
        return None
    return _placed(pair, order, COLLAPSED * pair.uneven)


def copied(pair: Pictures) -> Hint | None:
    """A channel in another one's place as well as in its own."""
    errors = _errors(*pair.sampled)
    order = tuple(int(np.argmin(row)) for row in errors)
    if len(set(order)) in {1, 3} or errors.min(axis=1).sum() > PROMISING * pair.sampled_uneven:
        return None
    return _placed(pair, order, pair.close)


def _errors(actual: NDArray[Any], expected: NDArray[Any]) -> Doubles:
    """Squared error between each channel and each expected one."""
    return np.array(
        [[error_of(actual[..., own], expected[..., other]) for other in range(3)] for own in range(3)], np.float64
    )


def _placed(pair: Pictures, order: Sequence[int], allowed: float) -> Hint | None:
    left = error_of(pair.actual, pair.expected[..., list(order)])
    if left > allowed:
        return None
    held = [
        recorded("{channel!s:s} holds {other!s:s}", channel=NAMES[own], other=NAMES[other])
        for own, other in enumerate(order)
        if own != other
    ]
    message = recorded(
        "looks like swapped channels: {held}; put back the RMS error falls from {before:.2f} to {left:.2f}",
        held=held,
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="channels", message=message)


# --- some channels, while the others stay ----------------------------------------------------------------------------


def _changed(pair: Pictures) -> list[int]:
    """Channels that differ, where at least one does not; else none."""
    changed = np.flatnonzero(pair.channel_errors > _UNCHANGED * pair.error).tolist()
    return changed if len(changed) < len(NAMES) else []


def _others(pair: Pictures, changed: Sequence[int]) -> float:
    return pair.error - float(pair.channel_errors[list(changed)].sum())


def _listed(channels: Sequence[int]) -> list[str]:
    return [NAMES[channel] for channel in channels]


def missing(pair: Pictures) -> Hint | None:
    """One value in all pixels of a channel."""
    actual_spreads, expected_spreads = pair.spreads
    changed = _changed(pair)
    if not changed or np.any(actual_spreads[changed]) or not np.all(expected_spreads[changed]):
        return None
    message = recorded(
        "looks like a missing channel: {channels!s} is {value} in every pixel; the other channels differ by an RMS of "
        "{others:.2f}",
        channels=_listed(changed),
        value="/".join(str(int(pair.actual[0, 0, channel])) for channel in changed),
        others=pair.rms(_others(pair, changed)),
    )
    return Hint(name="missing-channel", message=message)


def inverted(pair: Pictures) -> Hint | None:
    """The negative of some channels."""
    changed = _changed(pair)
    if not changed:
        return None
    actual, expected = (pixels[..., changed] for pixels in pair.sampled)
    if error_of(255 - actual, expected) > PROMISING * uneven_of(actual, expected):
        return None
    left = error_of(~pair.actual[..., changed], pair.expected[..., changed]) + _others(pair, changed)
    if left > COLLAPSED * pair.uneven:
        return None
    message = recorded(
        "looks like an inverted channel: {channels!s}; turned back the RMS error falls from {before:.2f} to {left:.2f}",
        channels=_listed(changed),
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="inverted-channel", message=message)


def moved(pair: Pictures) -> Hint | None:
    """Some channels in another place than the others."""
    changed = _changed(pair)
    # A channel that shows nothing has not stayed where it was.
    if not changed or np.delete(pair.spreads[1], changed).max() < _SHOWING:
        return None
    shift = found_shift(pair.actual[..., changed], pair.expected[..., changed])
    if not shift or _others(pair, changed) > _ROUNDED**2 * pair.actual.size:
        return None
    message = recorded(
        "looks like a channel shifted against the others: {channels!s}, by {way}; moved back the RMS error of its "
        "values falls from {before:.2f} to {left:.2f}",
        channels=_listed(changed),
        way=way(shift),
        before=shift.before,
        left=shift.left,
    )
    return Hint(name="moved-channel", message=message)


def scaled(pair: Pictures) -> Hint | None:
    """Channels multiplied, not all of them by the same number."""
    actual, expected = pair.sampled
    inside = actual < 255  # noqa: PLR2004 - what is cut off says nothing of the gain
    gains = np.sum(actual * expected * inside, axis=(0, 1)) / np.maximum(np.sum(expected**2 * inside, axis=(0, 1)), 1)
    if not np.all(gains) or np.ptp(gains) < _SAME_GAIN:
        return None
    if error_of(actual, np.clip(expected * gains, 0, 255)) > PROMISING * pair.sampled_uneven:
        return None
    level = np.arange(256, dtype=np.float64)
    joint = pair.joint.astype(np.float64)
    counts = joint[..., :255]
    gains = ((counts @ level[:255]) @ level) / np.maximum(counts.sum(axis=2) @ level**2, 1)
    table = np.clip(np.rint(gains[:, None] * level), 0, 255)
    left = float(np.sum(joint * (level - table[..., None]) ** 2))
    if left > pair.close:
        return None
    red, green, blue = gains
    message = recorded(
        "looks like scaled channels: red by {red:.3f}, green by {green:.3f}, blue by {blue:.3f}; undone the RMS error "
        "falls from {before:.2f} to {left:.2f}",
        red=red,
        green=green,
        blue=blue,
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="scaled-channels", message=message)


# --- colours ---------------------------------------------------------------------------------------------------------

_LUMA = {"BT.601": (0.299, 0.587, 0.114), "BT.709": (0.2126, 0.7152, 0.0722)}
"""What red, green and blue give to grey: ITU-R BT.601-7 and BT.709-6."""

_GREYS = {
    recordable("luma by BT.601"): _LUMA["BT.601"],
    recordable("luma by BT.709"): _LUMA["BT.709"],
    recordable("mean of the channels"): (1 / 3, 1 / 3, 1 / 3),
}
"""Ways from colour to grey."""


def grey(pair: Pictures) -> Hint | None:
    """Equal channels where there were colours."""
    if np.ptp(pair.sampled[0], axis=2).max() > _GREY or np.ptp(pair.sampled[1], axis=2).mean() < _COLOURED:
        return None
    red, green, blue = (pair.actual[..., channel].astype(np.int16) for channel in range(3))
    if max(int(np.abs(red - green).max()), int(np.abs(green - blue).max())) > _GREY:
        return None
    first, second, third = (pair.expected[..., channel] for channel in range(3))
    colour = float((np.maximum(np.maximum(first, second), third) - np.minimum(np.minimum(first, second), third)).mean())
    made = pair.expected.reshape(-1, 3).astype(np.float32) @ np.array(list(_GREYS.values()), np.float32).T
    lefts = [error_of(green.ravel(), values) / pair.pixels for values in made.T]
    nearest = int(np.argmin(lefts))
    if lefts[nearest] > COLLAPSED * float(made[:, nearest].var()):
        return None
    message = recorded(
        "looks like grey for colour: red, green and blue of a pixel differ by at most {largest:d} where the expected "
        "side has {colour:.2f} levels on the mean; nearest to it is the {name!s} of the expected side, with an RMS "
        "error of {left:.2f}",
        largest=int(max(np.abs(red - green).max(), np.abs(green - blue).max(), np.abs(red - blue).max())),
        colour=colour,
        name=list(_GREYS)[nearest],
        left=lefts[nearest] ** 0.5,
    )
    return Hint(name="grey", message=message)


def matrix(pair: Pictures) -> Hint | None:
    """Made with the luma and chroma of one standard and read with those of the other."""
    for written, read in (("BT.601", "BT.709"), ("BT.709", "BT.601")):
        mix = _rgb(_LUMA[read]) @ np.linalg.inv(_rgb(_LUMA[written]))
        actual, expected = pair.sampled
        if error_of(actual, np.clip(expected @ mix.T, 0, 255)) > PROMISING * pair.sampled_uneven:
            continue
        left = error_of(pair.actual, levels(_mixed(pair, mix)))
        if left <= pair.close:
            message = recorded(
                "looks like the colour matrix of {read:s} where that of {written:s} belongs; undone the RMS error "
                "falls from {before:.2f} to {left:.2f}",
                read=read,
                written=written,
                before=pair.rms(pair.error),
                left=pair.rms(left),
            )
            return Hint(name="colour-matrix", message=message)
    return None


def _rgb(luma: tuple[float, float, float]) -> Doubles:
    """Matrix from luma, 0 to 1, and the two colour differences, -0.5 to 0.5, to red, green and blue."""
    red, green, blue = luma
    chroma = [
        [-red / (2 * (1 - blue)), -green / (2 * (1 - blue)), 0.5],
        [0.5, -green / (2 * (1 - red)), -blue / (2 * (1 - red))],
    ]
    return np.linalg.inv(np.array([luma, *chroma]))


def _mixed(pair: Pictures, mix: Doubles) -> NDArray[np.float32]:
    pixels = pair.expected.reshape(-1, 3).astype(np.float32)
    return np.asarray(pixels @ mix.T.astype(np.float32)).reshape(pair.expected.shape)


def colours(pair: Pictures) -> Hint | None:
    """One mix of the channels for all pixels: hue, saturation, white balance."""
    actual, expected = (pixels.reshape(-1, 3) for pixels in pair.sampled)
    inside = np.all((actual > 0) & (actual < 255), axis=1)  # noqa: PLR2004 - what is cut off says nothing of the mix
    if np.count_nonzero(inside) < len(inside) // 4:
        inside[:] = True
    known = np.column_stack([expected, np.ones(len(expected))])
    mix = np.linalg.lstsq(known[inside], actual[inside], rcond=None)[0]
    if error_of(actual, np.clip(known @ mix, 0, 255)) > PROMISING * pair.sampled_uneven:
        return None
    one_curve = np.diag(np.full(3, np.trace(mix[:3]) / 3))
    if np.abs(mix[:3] - one_curve).max() < _SAME_GAIN:
        return None
    left = error_of(pair.actual, levels(_mixed(pair, mix[:3].T) + mix[3].astype(np.float32)))
    if left > pair.close:
        return None
    message = recorded(
        "looks like other colours, as by another hue, saturation or white balance: one mix of the channels for all "
        "pixels lets the RMS error fall from {before:.2f} to {left:.2f}",
        before=pair.rms(pair.error),
        left=pair.rms(left),
    )
    return Hint(name="colours", message=message)
