"""Softmax of scaled scores without the masked places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, described, refusal
from harness.kernels._softmax import masked_softmax

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "y = softmax(scale * x) over the last axis, places where the mask is True left out; float32 inside, cast once"
SOURCE = "op-plugin documentation and tests, torch_npu.npu_scaled_masked_softmax"


def kernel(
    x: Tensor,
    mask: Tensor,
    scale: float = 1,
    fixed_triu_mask: bool = False,  # noqa: FBT001, FBT002 - the schema's argument
) -> Tensor:
    """Softmax of ``scale * x`` over the last axis with weight 0 wherever the mask is True; shape and type as x.

    The mask broadcasts to x. With ``fixed_triu_mask`` the places above the diagonal of the last two axes are masked
    and the given mask is not read, as in op-plugin's own test. A row that is masked as a whole gives zeros: it has
    nothing to weigh; the fill of -10000 in references elsewhere gives such a row equal weights, which only look like a
    result. Computed in float32 (float64 for float64) and rounded once. Lengths that the card refuses (outside 32 to
    4096, or no multiple of 32) are computed as well. Source: ``SOURCE``.

    >>> import torch
    >>> kernel(torch.tensor([[1.0, 1.0, 9.0]]), torch.tensor([[False, False, True]])).tolist()
    [[0.5, 0.5, 0.0]]

    Raises:
        NotCovered: the mask is not bool or does not broadcast to x, or x is not floating-point.
    """
    import torch

    operator = "npu_scaled_masked_softmax"
    wide = computing_type(operator, x=x)
    if fixed_triu_mask:
        mask = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device).triu(diagonal=1)
    fits = mask.dim() <= x.dim() and all(
        length in {1, all_} for length, all_ in zip(mask.shape[::-1], x.shape[::-1], strict=False)
    )
    if mask.dtype != torch.bool or not fits:
        raise refusal(operator, "mask", described(mask), f"bool masks that broadcast to {described(x)}")
    weights, _, _ = masked_softmax(x.to(wide) * scale, mask)
    return weights.to(x.dtype)
