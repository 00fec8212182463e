"""A norm whose statistics leave out the end of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the norm's statistics leave out the end of each row, as a kernel that loses its tail")
SOURCE = "intel/llm-scaler#510"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Mean and variance of the first values, up to a multiple of 16 to 256."""
    for block in (16, 32, 64, 128, 256):

        def norm(right: Any, x: Any, *given: Any, block: int = block, **options: Any) -> Any:
            width = x.shape[-1] // block * block
            whole = width in {0, x.shape[-1]}
            return right(x, *given, **options) if whole else _of_head(x, width, *given, **options)

        yield {"layer_norm": norm}


def _of_head(x: Any, width: int, _shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    wide = x.float()
    head = wide[..., :width]
    variance = head.var(-1, keepdim=True, unbiased=False)
    made = (wide - head.mean(-1, keepdim=True)) * (variance + eps).rsqrt()
    made = made if weight is None else made * weight.float()
    return (made if bias is None else made + bias.float()).to(x.dtype)
