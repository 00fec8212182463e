"""Root mean square normalisation whose weight is stored less one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._norms import rms_norm

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = (
    "y = (1 + gamma) * x / sqrt(mean(x^2) + epsilon), rstd = 1 / sqrt(mean(x^2) + epsilon); float32 inside, y cast once"
)
SOURCE = "op-plugin documentation, torch_npu.npu_gemma_rms_norm; shape and type of rstd from the operator's Meta kernel"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    gamma: Tensor,
    epsilon: float = 1e-06,
) -> tuple[Tensor, Tensor]:
    """Normalise over as many trailing axes as gamma has: ``y`` as the input, ``rstd`` with those axes kept as 1.

    ``y = (1 + gamma) * x / sqrt(mean(x^2) + epsilon)``, computed in float32 (float64 for float64) and rounded once;
    the 1 is added in that type too. ``rstd`` keeps the type that was computed in. Source: ``SOURCE``.

    >>> import torch
    >>> y, _ = kernel(torch.tensor([[3.0, 4.0]]), torch.tensor([0.0, 1.0]), epsilon=0.0)
    >>> [round(value, 4) for value in y[0].tolist()]
    [0.8485, 2.2627]

    Raises:
        NotCovered: gamma's shape is not that of the last axes of the input, or a tensor is not floating-point.
    """
    return rms_norm("npu_gemma_rms_norm", input, gamma, epsilon, offset=1.0)
