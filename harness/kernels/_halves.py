"""Cutting a tensor into its two halves, as gated activations do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import computing_type, described, refusal

if TYPE_CHECKING:
    from torch import Tensor


def wide_halves(operator: str, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """First and second half of x along an axis, in the type to compute in.

    Raises:
        NotCovered: there is no such axis, or its length is odd.
    """
    wide = computing_type(operator, input=x)
    if not -x.dim() <= dim < x.dim():
        raise refusal(operator, "dim", dim, f"an axis of {described(x)}")
    if x.shape[dim] % 2:
        raise refusal(operator, "input", described(x), f"an even length of axis {dim}")
    first, second = x.to(wide).chunk(2, dim=dim)
    return first, second
