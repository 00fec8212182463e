"""Gated linear unit with GELU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import refusal
from harness.kernels._halves import wide_halves

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = (
    "y = a * gelu(b) with a, b the halves of x along dim (swapped by activate_left), gelu(b); float32 inside, cast once"
)
SOURCE = "op-plugin documentation, torch_npu.npu_geglu; CANN operator page of GeGluV3"

_GELU = {0: "none", 1: "tanh"}


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    dim: int = -1,
    approximate: int = 1,
    activate_left: bool = False,  # noqa: FBT001, FBT002 - the schema's argument
) -> tuple[Tensor, Tensor]:
    """Half of the input times GELU of the other half, and that GELU: both as the input with ``dim`` halved.

    ``y = left * gelu(right)``, with ``activate_left`` ``right * gelu(left)``. GELU is the tanh approximation for
    ``approximate`` 1, the default, and the exact one by erf for 0; they are up to 4.7e-4 apart. Computed in float32
    (float64 for float64); each result is rounded once, so the product is not that of the rounded GELU. Source:
    ``SOURCE``.

    >>> import torch
    >>> y, gelu = kernel(torch.tensor([2.0, 1.0]))
    >>> round(y.item(), 4), round(gelu.item(), 4)
    (1.6824, 0.8412)

    Raises:
        NotCovered: another ``approximate``, no such axis or one of odd length, or a tensor that is not floating-point.
    """
    import torch

    if approximate not in _GELU:
        raise refusal("npu_geglu", "approximate", approximate, "0 (erf) and 1 (tanh)")
    left, right = wide_halves("npu_geglu", input, dim)
    factor, gate = (right, left) if activate_left else (left, right)
    gelu = torch.nn.functional.gelu(gate, approximate=_GELU[approximate])
    return (factor * gelu).to(input.dtype), gelu.to(input.dtype)
