"""Pictures as programs hold them: arrays, tensors, images of Pillow, paths.

What could be meant in two ways is refused, never guessed: which values are black and white in floats, which axis holds
the channels, which picture of a batch is meant.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack, get_args

import numpy as np
from PIL import Image

from harness.errors import ImageError, UnknownName, UsageError
from harness.images import ALPHA, LARGEST_PICTURE, picture_of, read_picture_as
from harness.records import ReadAs
from harness.text import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.images import Alpha

Layout = Literal["HWC", "CHW"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
"""Orders of height, width and channels."""


class Reading(TypedDict, total=False):
    """How pictures are read that could be meant in several ways."""

    data_range: tuple[float, float] | None
    """Values of black and white of floats."""
    layout: Layout | None
    """Order of the axes, where the shape does not tell."""
    alpha: Alpha | None
    """What becomes of real transparency."""


_CHANNELS = 3
_AXES = 3
_BATCH_AXES = 4
_OPAQUE_CHANNELS = 4
_LEVELS = 255
_KINDS = "a NumPy array, a torch tensor, an image of Pillow, or a path"
_SHAPES = "[H, W, 3] or [3, H, W]"


class Held(NamedTuple):
    """A picture, and what it was made from."""

    pixels: NDArray[np.uint8]
    """``uint8[H, W, 3]``, RGB."""
    read_as: ReadAs
    """How its pixels became that."""
    floats: NDArray[np.float64] | None
    """``[H, W, 3]`` in the unit they were given in; None where the values were 8-bit."""


def held(picture: Any, name: str, **reading: Unpack[Reading]) -> Held:
    """A picture as ``uint8[H, W, 3]``; ``name`` says in errors which one it is.

    ``uint8`` is taken as it is. Floats need ``data_range``, the values of black and white, and become levels by
    ``rint(255 * (value - low) / (high - low))``; what lies outside of it is refused. The axis of size 3 holds the
    channels; where there are two, ``layout`` says which. ``alpha`` says what becomes of real transparency.

    >>> held(np.full((2, 2, 3), 0.5, np.float32), "actual", data_range=(0, 1)).pixels[0, 0]
    array([128, 128, 128], dtype=uint8)

    Raises:
        ImageError: it is no picture, or not one of 8-bit RGB or of floats in the given range.
        UsageError: ``data_range``, ``layout`` or ``alpha`` is none.
    """
    data_range, layout, alpha = reading.get("data_range"), reading.get("layout"), reading.get("alpha")
    _refuse_options(data_range, layout, alpha)
    if isinstance(picture, str | os.PathLike):
        pixels, read_as = read_picture_as(Path(picture), alpha)
        return Held(pixels, read_as, None)
    if isinstance(picture, Image.Image):
        pixels, read_as = picture_of(picture, name, alpha)
        return Held(pixels, read_as, None)
    array = _channels_last(_array(picture, name), name, layout)
    if array.dtype == np.uint8:
        return Held(np.array(array, order="C"), ReadAs.RGB, None)
    floats = _in_range(array, name, data_range)
    low, high = data_range or (math.nan, math.nan)
    levels = np.rint(_LEVELS * ((floats - low) / (high - low)))
    return Held(np.array(levels, np.uint8, order="C"), ReadAs.RGB, floats)


def _refuse_options(data_range: Any, layout: Any, alpha: Any) -> None:
    if layout is not None and layout not in LAYOUTS:
        raise UnknownName("layout", str(layout), LAYOUTS)
    if alpha is not None and alpha not in ALPHA:
        raise UnknownName("choice for transparency (alpha)", str(alpha), ALPHA)
    if data_range is None:
        return
    try:
        low, high = data_range
        sound = bool(math.isfinite(low) and math.isfinite(high) and low < high)
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise UsageError(
            f"data_range={one_line(repr(data_range))}; allowed are the values of black and white, two finite numbers "
            "of which the first is smaller. Say data_range=(0, 1), or (-1, 1) for what a decoder gives."
        )


def _array(picture: Any, name: str) -> NDArray[Any]:
    """The array behind an object, on the host, of whatever type and shape."""
    if isinstance(picture, np.ma.MaskedArray):
        next_step = "Fill it with picture.filled(value) as you want it to be seen"
        raise _refusal(name, "it is a masked array, whose masked values are nowhere", _KINDS, next_step)
    if isinstance(picture, np.ndarray):
        return np.asarray(picture)
    if _is_tensor(picture):
        return _from_tensor(picture, name)
    kind = type(picture)
    observed = f"it is of type {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
    raise _refusal(name, observed, _KINDS, "Make one of these of it, such as numpy.asarray(picture)")


def _is_tensor(picture: Any) -> bool:
    """Whether it is a tensor of torch, which is never imported here."""
    return any(
        kind.__module__.partition(".")[0] == "torch" and kind.__name__ == "Tensor" for kind in type(picture).__mro__
    )


def _from_tensor(tensor: Any, name: str) -> NDArray[Any]:
    try:
        plain = tensor.detach().cpu()
        if str(plain.dtype) == "torch.bfloat16":
            plain = plain.float()  # NumPy has no bfloat16; float32 holds each of its values
        return np.asarray(plain.numpy())
    except Exception as error:  # sparse, quantised, on the device meta, or of a type that NumPy does not have
        observed = f"it is a tensor that cannot be read ({type(error).__name__}: {one_line(str(error))})"
        raise _refusal(name, observed, "a dense tensor of uint8 or floats", "Convert it first") from error


def _channels_last(array: NDArray[Any], name: str, layout: Layout | None) -> NDArray[Any]:
    """The array as ``[H, W, 3]``."""
    shape = list(array.shape)
    if array.ndim == _BATCH_AXES:
        raise _refusal(
            name, f"it has the shape {shape}", f"one picture, {_SHAPES}", "Take one of the batch: picture[0]"
        )
    if array.ndim != _AXES:
        next_step = "Make three channels of one with numpy.stack([picture] * 3, axis=-1)"
        raise _refusal(name, f"it has the shape {shape}", _SHAPES, next_step)
    if not array.size:
        raise _refusal(name, f"it has the shape {shape} and so no pixel", "at least one pixel", "Look at what made it")
    last, first = shape[2] == _CHANNELS, shape[0] == _CHANNELS
    if layout is None and first and last:
        observed = f"its shape {shape} can be read in two ways"
        raise _refusal(name, observed, "a layout that is said", "Say layout='HWC', or 'CHW' as torch has it")
    if not (first if layout == "CHW" else last if layout == "HWC" else first or last):
        allowed = {None: _SHAPES, "HWC": "[H, W, 3]", "CHW": "[3, H, W]"}[layout]
        raise _refusal(name, f"it has the shape {shape}", allowed, _channel_step(shape))
    if array.size > _CHANNELS * LARGEST_PICTURE:
        raise _refusal(name, f"it has the shape {shape}", f"at most {LARGEST_PICTURE} pixels", "Make it smaller")
    is_first = layout == "CHW" or (layout is None and first)
    return np.moveaxis(array, 0, -1) if is_first else array


def _channel_step(shape: list[int]) -> str:
    if _OPAQUE_CHANNELS in (shape[0], shape[2]):
        return (
            "Take three channels, picture[..., :3] or picture[:3], where the fourth is an alpha that you can do without"
        )
    return "Hand over the RGB picture itself"


def _in_range(array: NDArray[Any], name: str, data_range: tuple[float, float] | None) -> NDArray[np.float64]:
    """Float values that are finite and in their range."""
    if array.dtype.kind != "f":
        next_step = "Convert it to 8 bits first, picture.astype(numpy.uint8) where its values are levels from 0 to 255"
        raise _refusal(name, f"its values are of type {array.dtype}", "uint8, or floats with data_range", next_step)
    floats = np.array(array, np.float64, order="C")
    if broken := int((~np.isfinite(floats)).sum()):
        allowed = "finite values"
        raise _refusal(
            name, f"{broken} of its {floats.size} values are NaN or infinite", allowed, "Look at what made it"
        )
    low, high = float(floats.min()), float(floats.max())
    observed = f"its {array.dtype} values lie between {low:.6g} and {high:.6g}"
    if data_range is None:
        next_step = "Say data_range=(0, 1), (-1, 1) or whatever black and white are; it is not guessed"
        raise _refusal(name, observed, "floats of which black and white are said", next_step)
    if low < data_range[0] or high > data_range[1]:
        allowed = f"data_range, {data_range[0]:g} to {data_range[1]:g}"
        raise _refusal(
            name, observed, allowed, "Clip it as your pipeline does, picture.clip(low, high), or say another range"
        )
    return floats


def _refusal(name: str, observed: str, allowed: str, next_step: str) -> ImageError:
    return ImageError(f"picture {name}: {observed}; allowed: {allowed}. {next_step}.")
