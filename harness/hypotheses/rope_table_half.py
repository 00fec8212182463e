"""Tables of RoPE in a half type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("sine and cosine of RoPE are rounded to a half type")
SOURCE = "huggingface/diffusers#10123"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Tables in bfloat16 and in float16."""
    import torch

    for half in (torch.bfloat16, torch.float16):

        def rounded(right: Any, angle: Any, half: Any = half) -> Any:
            made = right(angle)
            return made.to(half).to(made.dtype)

        yield {"cos": rounded, "sin": rounded}
