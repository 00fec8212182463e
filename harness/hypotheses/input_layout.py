"""What enters is read in another layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable(
    "what enters is read in another layout than it was written in, such as channels last for channels first"
)
SOURCE = "pytorch/pytorch#62594"
PICTURES = 4


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Pictures whose memory is taken for channels first where it is channels last, and the other way round."""

    def last(right: Any, x: Any, *given: Any, **options: Any) -> Any:
        return right(
            x.permute(0, 2, 3, 1).contiguous().reshape(x.shape) if x.ndim == PICTURES else x, *given, **options
        )

    def first(right: Any, x: Any, *given: Any, **options: Any) -> Any:
        if x.ndim != PICTURES:
            return right(x, *given, **options)
        n, c, h, w = x.shape
        return right(x.reshape(n, h, w, c).permute(0, 3, 1, 2).contiguous(), *given, **options)

    for change in (last, first):
        for name in ("group_norm", "conv2d", "interpolate"):
            yield {name: change}
