"""GELU by its approximation with tanh."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import Gelu
from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("GELU is computed by tanh, another form than the model's")
SOURCE = marked("documentation of torch_npu.npu_gelu; kyutai-labs/pocket-tts#278")


def changed(formula: Formula) -> Formula | None:
    """The formula with tanh; None for other formulas, and where it is so already."""
    return replace(formula, form="tanh") if isinstance(formula, Gelu) and formula.form != "tanh" else None
