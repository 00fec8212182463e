"""Variance divided by one element less."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import GroupNorm, LayerNorm
from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("the variance is divided by N - 1 instead of N")
SOURCE = marked("differential tests of libraries, where torch.var divides by N - 1 unless it is told otherwise")


def changed(formula: Formula) -> Formula | None:
    """The formula with N - 1; None for formulas without a variance."""
    return replace(formula, correction=1) if isinstance(formula, LayerNorm | GroupNorm) else None
