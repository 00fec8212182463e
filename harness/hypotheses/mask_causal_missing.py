"""Attention that sees what comes later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention sees later tokens: of the mask only the padding is kept")
SOURCE = "pytorch/pytorch#195910"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention that sees what comes later."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        if attn_mask is None and options.get("is_causal"):
            return right(q, k, v, None, *given, **options | {"is_causal": False})
        if attn_mask is not None and attn_mask.shape[-2] > 1:
            attn_mask = attn_mask[..., -1:, :].expand_as(attn_mask)
        return right(q, k, v, attn_mask, *given, **options)

    yield {"scaled_dot_product_attention": attention}
