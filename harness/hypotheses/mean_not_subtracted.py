"""LayerNorm computed as RMSNorm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.formulas import LayerNorm
from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.formulas import Array, Formula

CAUSE = recordable("the norm does not subtract the mean, as an RMSNorm")
SOURCE = marked("a norm of another kind under the same name, a common slip of ports")


@dataclass(frozen=True, eq=False)
class _WithoutMean(LayerNorm):
    def exact(self, x: Array) -> Array:
        normal: Array = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        scaled = normal if self.weight is None else normal * self.weight
        return scaled if self.bias is None else scaled + self.bias


def changed(formula: Formula) -> Formula | None:
    """The formula without the mean; None for other formulas."""
    if type(formula) is not LayerNorm:
        return None
    return _WithoutMean(eps=formula.eps, weight=formula.weight, bias=formula.bias)
