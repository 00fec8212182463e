"""Products whose inputs are rounded to TF32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("products and convolutions round their inputs to TF32")
SOURCE = "pytorch/pytorch#107514"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Inputs and weights with 10 explicit bits of significand."""

    def product(right: Any, x: Any, weight: Any, *given: Any, **options: Any) -> Any:
        return right(_rounded(x), _rounded(weight), *given, **options)

    yield {"linear": product, "conv2d": product, "matmul": product, "__matmul__": product, "bmm": product}


def _rounded(x: Any) -> Any:
    """float32 rounded to nearest, ties to even; others as they are."""
    import torch

    if x.dtype is not torch.float32:
        return x
    drop = 23 - 10
    bits = x.contiguous().view(torch.int32)
    kept = ((bits + ((1 << (drop - 1)) - 1) + ((bits >> drop) & 1)) >> drop) << drop
    return torch.where(x.isfinite(), kept.view(torch.float32), x)
