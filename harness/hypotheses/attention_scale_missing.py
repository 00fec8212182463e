"""Attention without its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention is not scaled")
SOURCE = marked("the scale of attention left to the caller, who leaves it to the kernel")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention without its scale."""
    yield _scaled(lambda width: width**0.5)


def _scaled(factor: Callable[[int], float]) -> Mapping[str, Callable[..., Any]]:
    def attention(right: Any, q: Any, *given: Any, **options: Any) -> Any:
        return right(q * factor(q.shape[-1]), *given, **options)

    return {"scaled_dot_product_attention": attention}
