"""GELU by its exact form, with erf."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import Gelu
from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("GELU is computed by erf, another form than the model's")
SOURCE = marked("the reverse of torch_npu's npu_gelu, whose documentation says that the native operator takes tanh")


def changed(formula: Formula) -> Formula | None:
    """The formula with erf; None for other formulas, and where it is so already."""
    return replace(formula, form="erf") if isinstance(formula, Gelu) and formula.form != "erf" else None
