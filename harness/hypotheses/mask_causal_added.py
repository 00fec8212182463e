"""Attention that is causal where the model's is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention sees no later tokens, where the model has no causal mask")
SOURCE = marked("a causal mask taken from a language model, a slip of ports")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention that is causal where the model's is not."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        import torch

        seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
        if attn_mask is not None:
            seen = seen & attn_mask if attn_mask.dtype is torch.bool else attn_mask.masked_fill(~seen, -torch.inf)
        return right(q, k, v, seen, *given, **options)

    yield {"scaled_dot_product_attention": attention}
