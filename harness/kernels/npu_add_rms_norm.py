"""Sum of two tensors and its root mean square normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import described, refusal
from harness.kernels._norms import rms_norm

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "x = x1 + x2 in their own type, y = gamma * x / sqrt(mean(x^2) + epsilon), rstd; float32 inside, y cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_add_rms_norm; shape and type of rstd from the operator's Meta kernel"


def kernel(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-06) -> tuple[Tensor, Tensor, Tensor]:
    """Add, then normalise over as many trailing axes as gamma has: ``(y, rstd, x)`` with ``x = x1 + x2``.

    The sum is rounded to the type of x1 before it is normalised, so that ``y`` belongs to the ``x`` that is returned;
    the norm is computed in float32 (float64 for float64) and rounded once. ``y`` and ``x`` have the shape of x1,
    ``rstd`` has the normalised axes kept as 1 and the type that was computed in. Source: ``SOURCE``.

    >>> import torch
    >>> y, rstd, x = kernel(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 2.0]]), torch.ones(2), epsilon=0.0)
    >>> x.tolist(), [round(value, 4) for value in y[0].tolist()]
    ([[3.0, 4.0]], [0.8485, 1.1314])

    Raises:
        NotCovered: x1 and x2 differ in shape or type, gamma's shape is not that of their last axes, or a tensor is
            not floating-point.
    """
    if x1.shape != x2.shape or x1.dtype != x2.dtype:
        raise refusal("npu_add_rms_norm", "x2", described(x2), f"two tensors alike, here {described(x1)}")
    x = x1 + x2
    return *rms_norm("npu_add_rms_norm", x, gamma, epsilon, name="x1"), x
