"""Attention with the scale of a padded head."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention is scaled by the size of a padded head instead of the head's own")
SOURCE = marked("a scale from the padded size of a head, a slip of kernels")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention with the scale of a padded head."""
    for size in (32, 64, 96, 128, 256):
        yield _scaled(partial(_share, size))


def _share(size: int, width: int) -> float:
    """Root of the share that a head has of the padded one."""
    return math.sqrt(width / (-(-width // size) * size))


def _scaled(factor: Callable[[int], float]) -> Mapping[str, Callable[..., Any]]:
    def attention(right: Any, q: Any, *given: Any, **options: Any) -> Any:
        return right(q * factor(q.shape[-1]), *given, **options)

    return {"scaled_dot_product_attention": attention}
