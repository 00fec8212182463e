"""A convolution with another padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the convolution pads by reflection or by repetition where the model pads with zeros")
SOURCE = marked("zero and reflecting padding mixed up, a slip of ports")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Borders that are reflected, repeated, and taken from the other side."""
    import torch

    for mode in ("reflect", "replicate", "circular"):

        def convolution(  # noqa: PLR0913, PLR0917 - the operator's arguments
            right: Any,
            x: Any,
            weight: Any,
            bias: Any = None,
            stride: Any = 1,
            padding: Any = 0,
            *given: Any,
            mode: str = mode,
            **options: Any,
        ) -> Any:
            rows, columns = padding if isinstance(padding, tuple | list) else (padding, padding)
            wider = torch.nn.functional.pad(x, (columns, columns, rows, rows), mode=mode)
            return right(wider, weight, bias, stride, 0, *given, **options)

        yield {"conv2d": convolution}
