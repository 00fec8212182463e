"""The mask of the first text for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the mask of the first text of the batch is taken for all")
SOURCE = "pytorch/pytorch#184180"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """The mask of the first text for all."""

    def attention(right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any) -> Any:
        if attn_mask is not None:
            attn_mask = attn_mask[:1].expand_as(attn_mask)
        return right(q, k, v, attn_mask, *given, **options)

    yield {"scaled_dot_product_attention": attention}
