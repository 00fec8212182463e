"""Rotary position embedding of one tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._rotary import rotary

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = (
    "y = x * r1 + turned(x) * r2; half: turned = (-x2, x1) of halves, interleave: of pairs; float32 inside, cast once"
)
SOURCE = "op-plugin documentation, torch_npu.npu_rotary_mul; rotate: CANN page of aclnnRotaryPositionEmbeddingV2"


def kernel(
    input: Tensor,  # noqa: A002 - the schema's name
    r1: Tensor,
    r2: Tensor,
    rotary_mode: str = "half",
    rotate: Tensor | None = None,
) -> Tensor:
    """``x * r1 + turned(x) * r2`` with r1 the cosines and r2 the sines; shape and type as the input.

    ``half`` turns ``(first, second)`` into ``(-second, first)`` by halves of the last axis, ``interleave`` every pair
    of neighbours; a given matrix ``rotate`` of ``[D, D]`` takes the place of both as ``x @ rotate``. r1 and r2 have as
    many axes as the input, each of its length or of length 1, the last in full. Computed in float32 (float64 for
    float64) and rounded once. Source: ``SOURCE``.

    >>> import torch
    >>> x, ones = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.ones(4)
    >>> kernel(x, 0 * ones, ones).tolist()
    [-3.0, -4.0, 1.0, 2.0]
    >>> kernel(x, 0 * ones, ones, rotary_mode="interleave").tolist()
    [-2.0, 1.0, -4.0, 3.0]

    Raises:
        NotCovered: another mode, an odd last axis, shapes that do not fit, or a tensor that is not floating-point.
    """
    return rotary("npu_rotary_mul", {"input": input, "r1": r1, "r2": r2}, rotary_mode, rotate)
