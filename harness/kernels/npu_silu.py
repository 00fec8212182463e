"""Sigmoid linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "y = x / (1 + exp(-x)); float32 inside, cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_silu"


def kernel(input: Tensor) -> Tensor:  # noqa: A002 - the schema's name
    """``x * sigmoid(x)`` of every element; shape and type as the input.

    Computed in float32 (float64 for float64) and rounded once. Source: ``SOURCE``.

    >>> import torch
    >>> round(kernel(torch.tensor(1.0)).item(), 4)
    0.7311

    Raises:
        NotCovered: the tensor is not floating-point.
    """
    import torch

    wide = computing_type("npu_silu", input=input)
    return torch.nn.functional.silu(input.to(wide)).to(input.dtype)
