"""Products computed in a half type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("products and convolutions are computed in a half type")
SOURCE = "Ascend/pytorch#125"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Inputs, weights and results in bfloat16, and in float16."""
    import torch

    for half in (torch.bfloat16, torch.float16):

        def product(right: Any, *given: Any, half: Any = half, **options: Any) -> Any:
            def narrow(value: Any) -> Any:
                return value.to(half) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

            made = right(*map(narrow, given), **{name: narrow(value) for name, value in options.items()})
            return made.to(given[0].dtype)

        yield {"linear": product, "conv2d": product, "matmul": product, "__matmul__": product, "bmm": product}
