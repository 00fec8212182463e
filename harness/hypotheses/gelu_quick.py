"""GELU by a sigmoid, as the first CLIP models have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import Gelu
from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("GELU is computed as x sigmoid(1.702 x), another form than the model's")
SOURCE = marked("documentation of torch_npu.npu_fast_gelu")


def changed(formula: Formula) -> Formula | None:
    """The formula with a sigmoid; None for other formulas, and where it is so already."""
    return replace(formula, form="quick") if isinstance(formula, Gelu) and formula.form != "quick" else None
