"""Rows of attention in which all is masked give NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("rows of attention in which everything is masked are no numbers")
SOURCE = "pytorch/pytorch#103963"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Rows of attention in which all is masked give NaN."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        import torch

        if attn_mask is None:
            return right(q, k, v, attn_mask, *given, **options)
        seen = attn_mask if attn_mask.dtype == torch.bool else attn_mask > attn_mask.min()
        made = right(q, k, v, attn_mask, *given, **options)
        own = seen[..., -1, :, None] if seen.shape[-1] == made.shape[-2] else seen.any(-1, keepdim=True)
        return made.masked_fill(~own, torch.nan)

    yield {"scaled_dot_product_attention": attention}
