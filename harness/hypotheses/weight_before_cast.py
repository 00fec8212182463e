"""Norm that multiplies by its weight before it rounds to its type."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import RmsNorm
from harness.language import recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("the norm multiplies by its weight before it rounds to its type, where the model does it after")
SOURCE = "NVIDIA/TransformerEngine#1132; huggingface/transformers#33133"


def changed(formula: Formula) -> Formula | None:
    """The formula that rounds once; None for other formulas, and where it is so already."""
    if (
        not isinstance(formula, RmsNorm)
        or not formula.rounds_first
        or formula.weight is None
        or formula.dtype == "float32"
    ):
        return None
    return replace(formula, rounds_first=False)
