"""Root mean square normalisation, the core of three operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, described, refusal

if TYPE_CHECKING:
    from torch import Tensor


def rms_norm(  # noqa: PLR0913 - operator, operands and the two ways to vary it
    operator: str, x: Tensor, gamma: Tensor | None, epsilon: float, *, name: str = "input", offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """``(offset + gamma) * x / sqrt(mean(x^2) + epsilon)`` over as many trailing axes as gamma has, and the rstd.

    ``name`` is what the operator calls x. Without gamma the last axis is normalised and nothing multiplied.

    Raises:
        NotCovered: gamma's shape is not that of the last axes of x, or a tensor is not floating-point.
    """
    import torch

    wide = computing_type(operator, **{name: x, "gamma": gamma})
    shape = x.shape[-1:] if gamma is None else gamma.shape
    if not 1 <= len(shape) <= x.dim() or x.shape[-len(shape) :] != shape:
        raise refusal(operator, "gamma", described(gamma), f"the shape of the last axes of {described(x)}")
    values = x.to(wide)
    mean = values.square().mean(dim=list(range(-len(shape), 0)), keepdim=True)
    rstd = torch.rsqrt(mean + epsilon)
    normal = values * rstd
    if gamma is not None:
        normal = normal * (gamma.to(wide) + offset)
    return normal.to(x.dtype), rstd
