"""Gaussian error linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, refusal

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "y = x * (1 + erf(x / sqrt(2))) / 2, or its tanh approximation; float32 inside, cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_gelu"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    *,
    approximate: str = "none",
) -> Tensor:
    """GELU of every element: by erf for ``none``, the default, and by tanh for ``tanh``; shape and type as the input.

    ``tanh`` is ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2``. Computed in float32 (float64 for float64)
    and rounded once. Source: ``SOURCE``.

    >>> import torch
    >>> [round(kernel(torch.tensor(-2.7), approximate=form).item(), 4) for form in ("none", "tanh")]
    [-0.0094, -0.0089]

    Raises:
        NotCovered: another ``approximate``, or a tensor that is not floating-point.
    """
    import torch

    if approximate not in {"none", "tanh"}:
        raise refusal("npu_gelu", "approximate", repr(approximate), "'none' (erf) and 'tanh'")
    wide = computing_type("npu_gelu", input=input)
    return torch.nn.functional.gelu(input.to(wide), approximate=approximate).to(input.dtype)
