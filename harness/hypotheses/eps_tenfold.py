"""Norm eps ten times too large."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import GroupNorm, LayerNorm, RmsNorm
from harness.language import recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("the eps of the norm is ten times what the model says")
SOURCE = "ml-explore/mlx-examples#1434"


def changed(formula: Formula) -> Formula | None:
    """The formula with that eps; None for formulas without one."""
    return replace(formula, eps=formula.eps * 10) if isinstance(formula, LayerNorm | RmsNorm | GroupNorm) else None
