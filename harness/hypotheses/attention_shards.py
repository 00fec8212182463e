"""Tokens of attention gathered in the wrong order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("tokens come back from attention in the wrong order, as shards that were gathered wrongly")
SOURCE = "vllm-project/vllm-omni#2814"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Tokens of attention gathered in the wrong order."""

    def attention(right: Any, q: Any, k: Any, v: Any, *given: Any, **options: Any) -> Any:
        import torch

        made = right(q, k, v, *given, **options)
        return torch.cat(made.chunk(2, dim=-2)[::-1], dim=-2)

    yield {"scaled_dot_product_attention": attention}
