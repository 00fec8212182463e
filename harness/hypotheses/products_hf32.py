"""Products whose inputs are rounded to HF32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.hypotheses._operators import products_of_rounded
from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("products and convolutions round their inputs to HF32")
SOURCE = marked("Ascend documentation of HF32")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Inputs and weights with 11 explicit bits of significand."""
    yield products_of_rounded(11)
