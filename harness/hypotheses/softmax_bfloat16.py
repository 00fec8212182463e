"""Attention whose softmax is computed in bfloat16."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the softmax of attention is computed in bfloat16")
SOURCE = "pytorch/pytorch#108503"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Scores and softmax in bfloat16; and probabilities alone."""
    for rounded in ("scores", "probabilities"):
        yield {"scaled_dot_product_attention": partial(_attention, rounded)}


def _attention(
    rounded: str, _right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *_given: Any, **options: Any
) -> Any:
    import torch

    repeat = q.shape[-3] // k.shape[-3]
    k, v = k.repeat_interleave(repeat, -3), v.repeat_interleave(repeat, -3)
    scale = options.get("scale") or q.shape[-1] ** -0.5
    scores = (q @ k.transpose(-2, -1)) * scale
    if attn_mask is not None:
        hidden = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype is torch.bool else scores + attn_mask
        scores = hidden
    if options.get("is_causal"):
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    half = torch.bfloat16
    shares = scores.to(half).softmax(-1) if rounded == "scores" else scores.softmax(-1).to(half)
    return shares.to(v.dtype) @ v
