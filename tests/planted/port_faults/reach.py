"""Ways into the loaded pipeline, and roundings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

ONE = 2
"""Block of the transformer that faults in one block strike."""


def blocks(pipe: Any) -> Any:
    """Blocks of the transformer."""
    return pipe.transformer.transformer_blocks


def text_model(pipe: Any) -> Any:
    """The text model inside the vision-language model."""
    return pipe.lmm.model.language_model


def of_kind(root: nn.Module, *kinds: str) -> list[Any]:
    """Modules by the names of their classes."""
    return [module for module in root.modules() if type(module).__name__ in kinds]


def code_of(pipe: Any) -> Any:
    """Module with the checkpoint's own pipeline code."""
    return sys.modules[type(pipe).__module__]


def wrap(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a method of one object by what ``make`` makes of it."""
    object.__setattr__(owner, name, make(getattr(owner, name)))


def after(module: nn.Module, change: Callable[[Any], Any]) -> None:
    """Change what a module gives."""
    wrap(module, "forward", lambda forward: lambda *given, **options: change(forward(*given, **options)))


def through(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The values that a cast to a narrower type and back leaves."""
    return x.to(dtype).to(x.dtype)


def with_bits(x: Tensor, explicit: int) -> Tensor:
    """float32 rounded to nearest even with so many explicit bits of significand: TF32 has 10, HF32 11."""
    if x.dtype is not torch.float32:
        return x
    drop = 23 - explicit
    raw = x.contiguous().view(torch.int32)
    kept = ((raw + ((1 << (drop - 1)) - 1) + ((raw >> drop) & 1)) >> drop) << drop
    return torch.where(x.isfinite(), kept.view(torch.float32), x)
