"""Attention that sees padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention sees padding: of the mask only the causal part is kept")
SOURCE = "huggingface/diffusers#12892"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention that sees padding."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        if attn_mask is None:
            return right(q, k, v, attn_mask, *given, **options)
        return right(q, k, v, None, *given, **options | {"is_causal": True})

    yield {"scaled_dot_product_attention": attention}
