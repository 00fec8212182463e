"""A linear layer or convolution without its bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the bias of the layer is left out")
SOURCE = marked("a projection whose bias is not loaded or not added, a slip of ports")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Products without a bias."""

    def product(right: Any, x: Any, weight: Any, _bias: Any = None, *given: Any, **options: Any) -> Any:
        return right(x, weight, None, *given, **{name: value for name, value in options.items() if name != "bias"})

    yield {"linear": product, "conv2d": product}
