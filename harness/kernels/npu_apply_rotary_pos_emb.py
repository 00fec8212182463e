"""Rotary position embedding of queries and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._forms import described, refusal
from harness.kernels._rotary import rotary

if TYPE_CHECKING:
    from torch import Tensor

FORMULA = "query * cos + turned(query) * sin, and the same of key; half: (-x2, x1) of halves; float32 inside, cast once"
SOURCE = "CANN page of aclnnApplyRotaryPosEmbV2, op-plugin's adapter for the names of the layouts"


def kernel(  # noqa: PLR0913, PLR0917 - the schema's arguments
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, layout: str = "BSND", rotary_mode: str = "half"
) -> tuple[Tensor, Tensor]:
    """Both tensors as ``x * cos + turned(x) * sin``; shapes and types as query and key.

    The layout, BSND, SBND, BNSD or TND, says which axis N counts the heads; there cos and sin have length 1, which
    shows a table made for another layout. The modes are those of ``npu_rotary_mul``. Computed in float32 (float64 for
    float64) and rounded once. CANN writes the results over query and key; here they are left as they were. Source:
    ``SOURCE``.

    >>> import torch
    >>> x, ones = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    >>> query, key = kernel(x, 2 * x, 0 * ones, ones)
    >>> query.flatten().tolist(), key.flatten().tolist()
    ([-2.0, 1.0], [-4.0, 2.0])

    Raises:
        NotCovered: another layout or mode, an odd last axis, cos or sin that do not fit the layout, or a tensor that is
            not floating-point.
    """
    if layout not in {"BSND", "SBND", "BNSD", "TND"} or query.dim() != len(layout) or key.dim() != len(layout):
        given = f"{layout!r} for query {described(query)} and key {described(key)}"
        raise refusal("npu_apply_rotary_pos_emb", "layout", given, "BSND, SBND, BNSD and TND with as many axes")
    for name, table in {"cos": cos, "sin": sin}.items():
        if table.dim() != len(layout) or table.shape[layout.index("N")] != 1:
            raise refusal("npu_apply_rotary_pos_emb", name, described(table), f"{layout} with length 1 at N")
    tables = {"cos": cos, "sin": sin}
    return (
        rotary("npu_apply_rotary_pos_emb", {"query": query, **tables}, rotary_mode),
        rotary("npu_apply_rotary_pos_emb", {"key": key, **tables}, rotary_mode),
    )
