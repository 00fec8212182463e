"""Layer normalisation for inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, described, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

FORMULA = "y = (x - mean) / sqrt(variance + eps) * weight + bias over normalized_shape; float32 inside, cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_layer_norm_eval"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """Layer normalisation over the last axes, with the population variance; shape and type as the input.

    ``(x - mean) / sqrt(variance + eps) * weight + bias``; weight and bias have ``normalized_shape`` or are left out.
    Computed in float32 (float64 for float64) and rounded once. Source: ``SOURCE``.

    >>> import torch
    >>> kernel(torch.tensor([[1.0, 3.0]]), [2], torch.tensor([2.0, 2.0]), torch.tensor([0.0, 1.0]), eps=0.0).tolist()
    [[-2.0, 3.0]]

    Raises:
        NotCovered: ``normalized_shape`` is not that of the input's last axes, weight or bias have another shape, or a
            tensor is not floating-point.
    """
    import torch

    wide = computing_type("npu_layer_norm_eval", input=input, weight=weight, bias=bias)
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        allowed = f"the shape of the last axes of {described(input)}"
        raise refusal("npu_layer_norm_eval", "normalized_shape", list(shape), allowed)
    for name, factor in {"weight": weight, "bias": bias}.items():
        if factor is not None and tuple(factor.shape) != shape:
            raise refusal("npu_layer_norm_eval", name, described(factor), f"the shape {list(shape)}")
    weight, bias = (None if factor is None else factor.to(wide) for factor in (weight, bias))
    return torch.nn.functional.layer_norm(input.to(wide), shape, weight, bias, eps).to(input.dtype)
