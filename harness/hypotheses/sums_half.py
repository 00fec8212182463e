"""Sums of products in float16."""

from __future__ import annotations

from typing import Any

from harness.language import marked, recordable

CAUSE = recordable("sums of products are kept in float16, so they are infinite or cut above 65,504")
SOURCE = marked("reduced-precision sums of matrix products")
SUM = 1e5
"""What the sums add up to: beyond float16, and far inside bfloat16 and float32."""
MOST_ENTERED = 6e4
"""Largest value that is put in, which float16 holds."""
ROWS = 8
NEAR = 0.9
"""Share of the sum that the exact result has to have."""
LARGEST_HALF, NEAR_LARGEST = 65504.0, 0.01
"""Largest float16, and how near a result that is cut there comes, with a bias."""


def probed(module: Any) -> bool | None:
    """Whether a linear layer loses sums that its type holds; None for other modules, and in float16 itself."""
    import torch

    weight = getattr(module, "weight", None)
    if not isinstance(module, torch.nn.Linear) or weight is None or weight.dtype not in {torch.bfloat16, torch.float32}:
        return None
    rows = weight[:ROWS].float()
    scale = SUM / rows.abs().sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    rows, scale = rows[scale[:, 0] < MOST_ENTERED], scale[scale[:, 0] < MOST_ENTERED]
    if not len(rows):
        return None
    entered = (rows.sign() * scale).to(weight.dtype)
    made = module(entered)[:, :ROWS].float()
    bias = 0.0 if module.bias is None else module.bias[:ROWS].float()
    expected = entered.double() @ weight[:ROWS].double().T + bias
    inside = expected.abs() > NEAR * SUM
    lost = ~made.isfinite() | ((made.abs() / LARGEST_HALF - 1).abs() < NEAR_LARGEST)
    return bool((lost & inside).any())
