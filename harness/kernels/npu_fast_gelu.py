"""Sigmoid approximation of the Gaussian error linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "y = x / (1 + exp(-1.702 x)); float32 inside, cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_fast_gelu, the formula for Atlas A2 and A3"


def kernel(input: Tensor) -> Tensor:  # noqa: A002 - the schema's name
    """``x * sigmoid(1.702 x)`` of every element; shape and type as the input.

    Not GELU: up to 2.03e-2 away from it. Older chips are documented with another form of the same function, which
    differs in rounding only. Computed in float32 (float64 for float64) and rounded once. Source: ``SOURCE``.

    >>> import torch
    >>> round(kernel(torch.tensor(-2.27)).item(), 4)
    -0.0467

    Raises:
        NotCovered: the tensor is not floating-point.
    """
    import torch

    values = input.to(computing_type("npu_fast_gelu", input=input))
    return (values * torch.sigmoid(1.702 * values)).to(input.dtype)
