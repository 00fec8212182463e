"""Attention whose softmax is computed in float16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.hypotheses._operators import attention_with_softmax_in
from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the softmax of attention is computed in float16")
SOURCE = "pytorch/pytorch#108503"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Scores and softmax in float16; and probabilities alone."""
    yield from attention_with_softmax_in("float16")
