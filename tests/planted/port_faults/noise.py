"""The first noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .catalogue import fault
from .reach import code_of

if TYPE_CHECKING:
    from collections.abc import Callable

_NOISE = "pipeline._draw_noise"


def _drawn(pipe: Any, draw: Callable[..., Any]) -> None:
    code = code_of(pipe)
    original = code.randn_tensor
    code.randn_tensor = lambda shape, **options: draw(original, shape, **options)


@fault("noise-half", "huggingface/diffusers#13298", _NOISE, causes=("noise", "rounded_bfloat16"), types=("float32",))
def _(pipe: Any) -> None:
    """The first noise is drawn in bfloat16 and then cast."""
    _drawn(pipe, lambda own, shape, dtype, **options: own(shape, dtype=torch.bfloat16, **options).to(dtype))


@fault("noise-numpy", "huggingface/diffusers#11056", _NOISE, causes=("noise", "noise_of_numpy"))
def _(pipe: Any) -> None:
    """The first noise comes from NumPy, seeded with 42."""

    def draw(_own: Any, shape: Any, dtype: Any, **_options: Any) -> Any:
        return torch.from_numpy(np.random.RandomState(42).standard_normal(shape)).to(dtype)

    _drawn(pipe, draw)


@fault("noise-extra-draw", "a draw before the first noise, a slip of ports", _NOISE, causes=("noise",))
def _(pipe: Any) -> None:
    """A draw of the same shape is thrown away before the first noise."""

    def draw(own: Any, shape: Any, **options: Any) -> Any:
        own(shape, **options)
        return own(shape, **options)

    _drawn(pipe, draw)


@fault("noise-layout", "pytorch/pytorch#111169", _NOISE, causes=("noise", "layout_misread"))
def _(pipe: Any) -> None:
    """The first noise is drawn as [n, h, w, c] and turned."""

    def draw(own: Any, shape: Any, **options: Any) -> Any:
        n, c, h, w = shape
        return own((n, h, w, c), **options).permute(0, 3, 1, 2).contiguous()

    _drawn(pipe, draw)
