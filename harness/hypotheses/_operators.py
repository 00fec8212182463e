"""Operators that several hypotheses put in the place of the reference's, each for a type or a number of bits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SIGNIFICAND_BITS = 23
"""Explicit bits of the significand of float32."""


def products_of_rounded(bits: int) -> Mapping[str, Callable[..., Any]]:
    """Products and convolutions whose inputs and weights keep so many explicit bits of their significand."""

    def product(right: Any, x: Any, weight: Any, *given: Any, **options: Any) -> Any:
        return right(_rounded(x, bits), _rounded(weight, bits), *given, **options)

    return {"linear": product, "conv2d": product, "matmul": product, "__matmul__": product, "bmm": product}


def _rounded(x: Any, bits: int) -> Any:
    """float32 rounded to nearest, ties to even; others as they are."""
    import torch

    if x.dtype is not torch.float32:
        return x
    drop = _SIGNIFICAND_BITS - bits
    pattern = x.contiguous().view(torch.int32)
    kept = ((pattern + ((1 << (drop - 1)) - 1) + ((pattern >> drop) & 1)) >> drop) << drop
    return torch.where(x.isfinite(), kept.view(torch.float32), x)


def attention_with_softmax_in(dtype: str) -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention with scores and softmax in a type, and with probabilities alone rounded to it."""

    def all_in_type(scores: Any) -> Any:
        return scores.to(_type(dtype)).softmax(-1)

    def rounded_after(scores: Any) -> Any:
        return scores.softmax(-1).to(_type(dtype))

    for softmax in (all_in_type, rounded_after):
        yield {"scaled_dot_product_attention": partial(_attention, softmax)}


def _type(name: str) -> Any:
    import torch

    return getattr(torch, name)


def _attention(softmax: Callable[[Any], Any], _right: Any, q: Any, k: Any, *given: Any, **options: Any) -> Any:
    """Attention in plain operators; ``given`` are the values and, where there is one, the mask."""
    import torch

    v, mask = (*given, options.get("attn_mask"))[:2]
    repeat = q.shape[-3] // k.shape[-3]
    k, v = k.repeat_interleave(repeat, -3), v.repeat_interleave(repeat, -3)
    scores = (q @ k.transpose(-2, -1)) * (options.get("scale") or q.shape[-1] ** -0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
    if options.get("is_causal"):
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    return softmax(scores).to(v.dtype) @ v
