"""The result of attention read in the order in which it lies in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the result of attention is read in another layout: heads for tokens")
SOURCE = "pytorch/pytorch#180984"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """The result of attention read in the order in which it lies in memory."""

    def attention(right: Any, q: Any, k: Any, v: Any, *given: Any, **options: Any) -> Any:
        made = right(q, k, v, *given, **options).contiguous()
        *batch, heads, rows, size = made.shape
        return made.reshape(*batch, rows, heads, size).transpose(-3, -2)

    yield {"scaled_dot_product_attention": attention}
