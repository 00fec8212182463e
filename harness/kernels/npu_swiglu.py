"""Gated linear unit with SiLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._halves import wide_halves

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = (
    "y = silu(a) * b with a, b the halves of x along dim and silu(a) = a / (1 + exp(-a)); float32 inside, cast once"
)
SOURCE = "op-plugin documentation, torch_npu.npu_swiglu; CANN operator page of SwiGlu"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    dim: int = -1,
) -> Tensor:
    """SiLU of the first half times the second half, as the input with ``dim`` halved.

    ``silu(first) * second``: the activated half is the first, where ``npu_geglu`` activates the second. Computed in
    float32 (float64 for float64) and rounded once. Source: ``SOURCE``.

    >>> import torch
    >>> round(kernel(torch.tensor([1.0, 2.0])).item(), 4)
    1.4621

    Raises:
        NotCovered: no such axis or one of odd length, or a tensor that is not floating-point.
    """
    import torch

    first, second = wide_halves("npu_swiglu", input, dim)
    return (torch.nn.functional.silu(first) * second).to(input.dtype)
