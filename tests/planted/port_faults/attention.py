"""Attention of the transformer's blocks."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from .catalogue import fault
from .reach import ONE, blocks, through

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_ALL = "transformer.transformer_blocks.*.attn*"
_ONE = f"transformer.transformer_blocks.{ONE}.attn*"


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention by the fused kernel."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def by_formula(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, softmax: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Attention by its formula, with another softmax where one is given."""
    scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return (scores.softmax(-1) if softmax is None else softmax(scores)) @ v


def set_core(pipe: Any, core: Callable[..., Tensor], only: int | None = None) -> None:
    """Put another attention core into all blocks, or into one, under the processors that are there."""
    for number, block in enumerate(blocks(pipe)):
        for attn in (block.attn, block.attn2):
            if attn is not None and only in {None, number}:
                attn.set_processor(_Processor(attn.processor, core))


class _Processor:
    """The processor that is there, for whose call the fused kernel is another function."""

    def __init__(self, processor: Any, core: Callable[..., Tensor]) -> None:
        self._processor, self._core = processor, core

    def __call__(self, *given: Any, **options: Any) -> Any:
        own = functional.scaled_dot_product_attention
        core: Any = partial(self._core_with, own)
        functional.scaled_dot_product_attention = core
        try:
            return self._processor(*given, **options)
        finally:
            functional.scaled_dot_product_attention = own

    def _core_with(self, own: Any, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        ours, functional.scaled_dot_product_attention = functional.scaled_dot_product_attention, own
        try:
            return self._core(q, k, v, attn_mask)
        finally:
            functional.scaled_dot_product_attention = ours


@fault("softmax-bfloat16", "pytorch/pytorch#108503", _ALL, causes=("softmax_bfloat16",))
def _(pipe: Any) -> None:
    """Scores and softmax are bfloat16, in all blocks."""
    half = torch.bfloat16
    set_core(pipe, lambda q, k, v, m: by_formula(q, k, v, m, lambda s: s.to(half).softmax(-1).to(s.dtype)))


@fault("softmax-float16", "pytorch/pytorch#108503", _ALL, causes=("softmax_float16",), types=("float32",))
def _(pipe: Any) -> None:
    """Probabilities are rounded to float16, in all blocks."""
    set_core(pipe, lambda q, k, v, m: by_formula(q, k, v, m, lambda s: through(s.softmax(-1), torch.float16)))


@fault("head-size-padded", "a scale from the padded size of a head", _ALL, causes=("attention_scale_padded",))
def _(pipe: Any) -> None:
    """The scale is that of a head padded from 16 to 32, in all blocks."""
    set_core(pipe, lambda q, k, v, m: fused(q * math.sqrt(0.5), k, v, m))


@fault("out-of-bounds", "pytorch/pytorch#169222", _ONE, causes=("last_rows", "not_repeatable", "stale_state"))
def _(pipe: Any) -> None:
    """The last four rows of one block's attention are what happened to be in memory, in one call of ten."""
    source = np.random.default_rng(int.from_bytes(os.urandom(8), "little"))

    def core(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out = fused(q, k, v, mask)
        if source.random() < 0.1:
            out[:, :, -4:] = torch.from_numpy(source.standard_normal(tuple(out[:, :, -4:].shape)) * 10.0).to(out.dtype)
        return out

    set_core(pipe, core, ONE)


@fault(
    "head-lost",
    "an attention kernel that loses a head; like pytorch/pytorch#132004",
    _ALL,
    causes=("attention_head_lost",),
)
def _(pipe: Any) -> None:
    """The last head answers with the values of the head before it, in all blocks."""

    def core(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out = fused(q, k, v, mask).clone()
        out[:, -1] = out[:, -2]
        return out

    set_core(pipe, core)


@fault("last-key-dropped", "an attention kernel that loses its tail", _ONE, causes=("attention_last_key",))
def _(pipe: Any) -> None:
    """The last key is never looked at, in one block."""
    set_core(pipe, lambda q, k, v, m: fused(q, k[:, :, :-1], v[:, :, :-1], None if m is None else m[..., :-1]), ONE)


@fault("strided", "pytorch/pytorch#180984", _ONE, causes=("attention_layout",))
def _(pipe: Any) -> None:
    """One block's attention hands on its transposed result in the order in which it lies in memory."""

    def core(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out = fused(q, k, v, mask).contiguous()
        batch, heads, rows, size = out.shape
        return out.reshape(batch, rows, heads, size).transpose(1, 2)

    set_core(pipe, core, ONE)


@fault("gather-order", "vllm-project/vllm-omni#2814", _ONE, causes=("attention_shards",))
def _(pipe: Any) -> None:
    """Halves of the tokens come back from one block's attention in the wrong order, as from shards."""

    def core(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat(fused(q, k, v, mask).chunk(2, dim=2)[::-1], dim=2)

    set_core(pipe, core, ONE)
