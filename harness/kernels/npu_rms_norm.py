"""Root mean square normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._norms import rms_norm

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "y = gamma * x / sqrt(mean(x^2) + epsilon), rstd = 1 / sqrt(mean(x^2) + epsilon); float32 inside, y cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_rms_norm; shape and type of rstd from the operator's Meta kernel"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    gamma: Tensor | None,
    epsilon: float = 1e-06,
) -> tuple[Tensor, Tensor]:
    """Normalise over as many trailing axes as gamma has: ``y`` as the input, ``rstd`` with those axes kept as 1.

    ``y = gamma * x / sqrt(mean(x^2) + epsilon)``, computed in float32 (float64 for float64) and rounded once, so in
    half types it is not the formula of libraries that round before they multiply by the weight. ``rstd`` keeps the
    type that was computed in. A gamma of None, which diffusers passes for a norm without weight although the schema
    asks for a tensor, stands for ones on the last axis. Source: ``SOURCE``.

    >>> import torch
    >>> y, rstd = kernel(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0]), epsilon=0.0)
    >>> [round(value, 4) for value in y[0].tolist()], rstd.shape
    ([0.8485, 2.2627], torch.Size([1, 1]))

    Raises:
        NotCovered: gamma's shape is not that of the last axes of the input, or a tensor is not floating-point.
    """
    return rms_norm("npu_rms_norm", input, gamma, epsilon)
