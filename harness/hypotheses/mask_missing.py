"""Attention without its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention gets no mask at all")
SOURCE = "huggingface/diffusers#12892"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention without its mask."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        if attn_mask is None and not options.get("is_causal"):
            return right(q, k, v, attn_mask, *given, **options)
        return right(q, k, v, None, *given, **options | {"is_causal": False})

    yield {"scaled_dot_product_attention": attention}
