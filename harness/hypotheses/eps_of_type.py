"""Norm eps taken from the type, as where a default replaces the model's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.formulas import EPSILONS, RmsNorm
from harness.language import recordable

if TYPE_CHECKING:
    from harness.formulas import Formula

CAUSE = recordable("the eps of the norm is that of the type instead of the model's")
SOURCE = "pytorch/pytorch#189581"


def changed(formula: Formula) -> Formula | None:
    """The formula with the type's eps; None for other formulas, and where it is so already."""
    if not isinstance(formula, RmsNorm) or formula.eps == EPSILONS[formula.dtype]:
        return None
    return replace(formula, eps=EPSILONS[formula.dtype])
