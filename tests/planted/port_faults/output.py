"""The way from latents to 8 bits and to the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from .catalogue import fault
from .reach import after, code_of, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

_PIXELS = "pipeline.latents_to_pixels"
_HALF_MAX = 65504.0


@fault("scale-missing", "huggingface/diffusers#6923", _PIXELS, causes=("scaling_factor",))
def _(pipe: Any) -> None:
    """Latents are not divided by the autoencoder's scaling factor."""
    pipe.latents_to_pixels = lambda z: pipe.vae.decode(z + pipe.vae.config.shift_factor).sample


@fault("scale-rounded", "huggingface/diffusers#6753", _PIXELS, causes=("scaling_factor",))
def _(pipe: Any) -> None:
    """Latents are divided by 0.3961 where the checkpoint says 0.3961416780948639."""
    pipe.latents_to_pixels = lambda z: pipe.vae.decode(z / 0.3961 + pipe.vae.config.shift_factor).sample


@fault("shift-missing", "huggingface/diffusers#14671", _PIXELS, causes=("shift_factor",))
def _(pipe: Any) -> None:
    """The autoencoder's shift factor is not added."""
    pipe.latents_to_pixels = lambda z: pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample


@fault("decimals-cut", "a conversion to 8 bits without rounding", "pipeline file._to_pictures", causes=("levels_cut",))
def _(pipe: Any) -> None:
    """Decimals are cut off on the way to 8 bits instead of rounded."""

    def to_pictures(pixels: Any) -> list[Image.Image]:
        levels = (127.5 * pixels + 127.5).clamp(0, 255).to(torch.uint8)
        return [Image.fromarray(picture) for picture in levels.permute(0, 2, 3, 1).cpu().numpy()]

    code_of(pipe)._to_pictures = to_pictures


@fault("decoder-overflow", "huggingface/candle#1060", "vae.decoder.mid_block*", causes=("overflow",))
def _(pipe: Any) -> None:
    """The middle of the decoder overflows in float16; the norms after it spread the NaN."""
    after(pipe.vae.decoder.mid_block, lambda y: _beyond(y, 0.001, lambda large: large.half().float()))


@fault(
    "decoder-saturation", "Ascend documentation of the saturation mode", "vae.decoder.mid_block*", causes=("clipped",)
)
def _(pipe: Any) -> None:
    """The same overflow on a card that saturates: the largest values, one in a hundred, are clipped."""
    after(pipe.vae.decoder.mid_block, lambda y: _beyond(y, 0.01, lambda large: large.clamp(-_HALF_MAX, _HALF_MAX)))


def _beyond(y: Any, share: float, change: Callable[[Any], Any]) -> Any:
    """Change values scaled so that a share of them is beyond what float16 holds."""
    scale = _HALF_MAX / y.abs().float().flatten().quantile(1 - share)
    return (change(y.float() * scale) / scale).to(y.dtype)


@fault("nan-silent", "zai-org/CogVideo#559", "vae.decode", causes=("not_a_number",))
def _(pipe: Any) -> None:
    """A few values that the decoder gives are NaN, and the cast to 8 bits makes them black."""

    def make(original: Any) -> Any:
        def decode(*given: Any, **options: Any) -> Any:
            made = original(*given, **options)
            made.sample[:, :, -2:, :8] = float("nan")
            return made

        return decode

    wrap(pipe.vae, "decode", make)


@fault("nan-latent", "black pictures whose NaN was replaced by 0", "scheduler.step", causes=("not_a_number",))
def _(pipe: Any) -> None:
    """One latent is NaN after the last step; the decoder's input is cleaned of NaN without a word."""

    def make(original: Any) -> Any:
        def step(*given: Any, **options: Any) -> Any:
            (latents,) = original(*given, **options)
            if pipe.scheduler.step_index == len(pipe.scheduler.timesteps):
                latents[0, 3, 5, 5] = float("nan")
            return (latents,)

        return step

    wrap(pipe.scheduler, "step", make)
    wrap(pipe, "latents_to_pixels", lambda own: lambda z: own(torch.nan_to_num(z)))


class _Rows:
    """Bottom rows of the picture are not what the model made."""

    def __init__(self, rows: int, make: Callable[[_Rows, Any, int], Any]) -> None:
        self.rows, self.make, self.last = rows, make, None

    def spoil(self, image: Any, count: int) -> Any:
        """Replace the bottom rows."""
        spoilt = image.copy()
        rows = self.make(self, image[-self.rows :].shape, count)
        self.last = image[-self.rows :].copy()
        if rows is not None:
            spoilt[-self.rows :] = rows
        return spoilt


@fault("host-copy-garbage", "vllm-project/vllm-omni#5782", "picture", causes=("last_rows", "not_repeatable"))
def _(_pipe: Any) -> _Rows:
    """The bottom four rows are garbage, another one each time: a host copy was used before it was done."""
    return _Rows(
        4, lambda _rows, shape, _count: np.frombuffer(os.urandom(int(np.prod(shape))), np.uint8).reshape(shape)
    )


@fault("host-copy-stale", "pytorch/pytorch#139550", "picture", causes=("last_rows", "stale_state"))
def _(_pipe: Any) -> _Rows:
    """In every other picture the bottom two rows are those of the picture before."""
    return _Rows(2, lambda rows, _shape, count: rows.last if count % 2 == 0 else None)
