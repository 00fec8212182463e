"""A norm whose statistics are computed in a half type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the norm computes its statistics in a half type")
SOURCE = marked("huggingface/transformers#33133; a norm without its cast to float32")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """LayerNorm and GroupNorm with every operation in bfloat16, and in float16; RMSNorm without its cast."""
    import torch

    for half in (torch.bfloat16, torch.float16):

        def norm(right: Any, x: Any, *given: Any, half: Any = half, **options: Any) -> Any:
            made = right(x.to(half), *(_narrow(value, half) for value in given), **options)
            return made.to(x.dtype)

        def square(right: Any, x: Any, power: Any, half: Any = half) -> Any:
            return right(x.to(half), power)

        yield {"layer_norm": norm, "group_norm": norm, "pow": square}


def _narrow(value: Any, half: Any) -> Any:
    return value.to(half) if hasattr(value, "is_floating_point") else value
