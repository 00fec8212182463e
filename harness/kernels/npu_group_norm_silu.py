"""Group normalisation followed by SiLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, described, refusal

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "y = silu((x - mean) * rstd * weight + bias), mean and rstd of each group; float32 inside, cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_group_norm_silu; type of mean and rstd from the operator's Meta kernel"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    weight: Tensor | None,
    bias: Tensor | None,
    group: int,
    eps: float = 1e-05,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each group of channels and take SiLU: ``y`` as the input, mean and rstd as ``[N, group]``.

    The input is ``[N, C, ...]`` of any rank from 2; a group is C / group neighbouring channels with all that lies
    behind them, its variance that of the population. weight and bias have ``[C]`` or are left out. Computed in float32
    (float64 for float64), each result rounded once: ``y`` to the input's type, mean and rstd to that of weight and
    bias where both are given and to the input's otherwise. Source: ``SOURCE``.

    >>> import torch
    >>> y, mean, rstd = kernel(torch.tensor([[1.0, 3.0]]), None, None, 1, eps=0.0)
    >>> [round(value, 4) for value in y[0].tolist()], mean.tolist(), rstd.tolist()
    ([-0.2689, 0.7311], [[2.0]], [[1.0]])

    Raises:
        NotCovered: the channels do not divide into the groups, weight or bias have another shape or unlike types, or a
            tensor is not floating-point.
    """
    import torch

    wide = computing_type("npu_group_norm_silu", input=input, weight=weight, bias=bias)
    if input.dim() < 2 or group < 1 or input.shape[1] % group:  # noqa: PLR2004 - batch and channels
        raise refusal(
            "npu_group_norm_silu", "group", group, f"a divisor of the channels, axis 1, of {described(input)}"
        )
    for name, factor in {"weight": weight, "bias": bias}.items():
        if factor is not None and tuple(factor.shape) != (input.shape[1],):
            raise refusal("npu_group_norm_silu", name, described(factor), f"the shape [{input.shape[1]}]")
    statistics = input.dtype
    if weight is not None and bias is not None:
        if weight.dtype != bias.dtype:
            raise refusal("npu_group_norm_silu", "bias", described(bias), f"the type of weight {described(weight)}")
        statistics = weight.dtype
    groups = input.to(wide).reshape(input.shape[0], group, -1)
    mean = groups.mean(dim=-1, keepdim=True)
    rstd = torch.rsqrt((groups - mean).square().mean(dim=-1, keepdim=True) + eps)
    normal = ((groups - mean) * rstd).reshape(input.shape)
    channels = (-1, *[1] * (input.dim() - 2))
    if weight is not None:
        normal = normal * weight.to(wide).reshape(channels)
    if bias is not None:
        normal = normal + bias.to(wide).reshape(channels)
    y = torch.nn.functional.silu(normal).to(input.dtype)
    return y, mean.squeeze(-1).to(statistics), rstd.squeeze(-1).to(statistics)
