"""A square weight read transposed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the weight is read transposed")
SOURCE = "vllm-project/vllm-ascend#4058"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Products with the weight transposed, where it is square."""

    def product(right: Any, x: Any, weight: Any, *given: Any, **options: Any) -> Any:
        square = weight.shape[0] == weight.shape[1]
        return right(x, weight.transpose(0, 1) if square else weight, *given, **options)

    yield {"linear": product, "conv2d": product}
