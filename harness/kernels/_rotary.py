"""Rotary position embedding, the core of two operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, described, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def rotary(operator: str, tensors: Mapping[str, Tensor], mode: str, rotate: Tensor | None = None) -> Tensor:
    """``x * cos + turned(x) * sin`` of three tensors, in this order and under the names that the operator gives them.

    A given ``rotate`` turns as ``x @ rotate``, otherwise the mode says how.

    Raises:
        NotCovered: another mode, an odd last axis, or tensors that do not broadcast to the shape of x.
    """
    wide = computing_type(operator, **tensors, rotate=rotate)
    (name, x), *tables = tensors.items()
    for argument, table in tables:
        lengths = zip(table.shape, x.shape, strict=False)
        if (
            table.dim() != x.dim()
            or table.shape[-1:] != x.shape[-1:]
            or any(length not in {1, all_} for length, all_ in lengths)
        ):
            allowed = f"lengths 1 or those of {name} {described(x)}, the last in full"
            raise refusal(operator, argument, described(table), allowed)
    cos, sin = (table.to(wide) for _, table in tables)
    values = x.to(wide)
    if rotate is not None:
        turned = _multiplied(operator, values, rotate)
    elif x.dim() and x.shape[-1] % 2 == 0:
        turned = _turned(operator, values, mode)
    else:
        raise refusal(operator, name, described(x), "an even length of the last axis")
    return (values * cos + turned * sin).to(x.dtype)


def _turned(operator: str, values: Tensor, mode: str) -> Tensor:
    import torch

    if mode == "half":
        first, second = values.chunk(2, dim=-1)
        return torch.cat((-second, first), dim=-1)
    if mode == "interleave":
        return torch.stack((-values[..., 1::2], values[..., ::2]), dim=-1).flatten(-2)
    raise refusal(operator, "rotary_mode", repr(mode), "half and interleave")


def _multiplied(operator: str, values: Tensor, rotate: Tensor) -> Tensor:
    if rotate.shape != (values.shape[-1], values.shape[-1]):
        raise refusal(operator, "rotate", described(rotate), "a square matrix as wide as the last axis")
    return values @ rotate.to(values.dtype)
