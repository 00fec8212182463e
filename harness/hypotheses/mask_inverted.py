"""A mask that hides what it should show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the mask of attention hides what it should show")
SOURCE = "huggingface/diffusers#14396"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """A mask that hides what it should show; a row that then sees no key sees all of them, or gives zeros."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        import torch

        if attn_mask is None:
            return right(q, k, v, attn_mask, *given, **options)
        seen = attn_mask if attn_mask.dtype == torch.bool else attn_mask > attn_mask.min()
        hidden = ~seen
        hidden |= ~hidden.any(-1, keepdim=True)
        return right(q, k, v, hidden, *given, **options)

    def with_zeros(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        import torch

        made = attention(right, q, k, v, attn_mask, *given, **options)
        if attn_mask is None:
            return made
        seen = attn_mask if attn_mask.dtype == torch.bool else attn_mask > attn_mask.min()
        return made.masked_fill(seen.all(-1, keepdim=True), 0.0)

    yield {"scaled_dot_product_attention": attention}
    yield {"scaled_dot_product_attention": with_zeros}
