"""Norm that rounds to its type before it multiplies by its weight."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import RmsNorm
from harness.language import recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("the norm rounds to its type before it multiplies by its weight, where the model does it after")
SOURCE = "NVIDIA/TransformerEngine#1132; vllm-project/vllm#6992"


def changed(formula: Formula) -> Formula | None:
    """The formula that rounds twice; None for other formulas, and where it is so already."""
    if not isinstance(formula, RmsNorm) or formula.rounds_first or formula.weight is None or formula.dtype == "float32":
        return None
    return replace(formula, rounds_first=True)
