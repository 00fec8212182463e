"""Norm eps ten times too small."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import GroupNorm, LayerNorm, RmsNorm
from harness.language import recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("the eps of the norm is a tenth of what the model says")
SOURCE = "mindspore-lab/mindone#219"


def changed(formula: Formula) -> Formula | None:
    """The formula with that eps; None for formulas without one."""
    return replace(formula, eps=formula.eps * 0.1) if isinstance(formula, LayerNorm | RmsNorm | GroupNorm) else None
