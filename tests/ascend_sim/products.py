"""The matrix products among the operators: which arguments are the factors, and what is added afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ascend_sim.rules import Arguments

    Multiply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Product:
    """How an operator's arguments make ``added + left @ right``."""

    left: str
    right: str
    added: str | None = None
    """Name of the addend; the operators that have ``alpha`` and ``beta`` scale both."""
    transposed: bool = False
    """Whether the right factor is stored with its last two axes exchanged, as a layer's weight is."""

    def factors(self, given: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
        """The factors, so that the left one's last axis is summed over with the right one's last but one (or only)."""
        left, right = given[self.left], given[self.right]
        return left, right.transpose(-1, -2) if self.transposed and right.dim() > 1 else right

    def total(self, given: Arguments, multiply: Multiply) -> torch.Tensor:
        """The operator's result with another multiplication; in float32, then rounded once to the left one's dtype."""
        left, right = self.factors(given)
        result: torch.Tensor = multiply(left.float(), right.float()) * given.get("alpha", 1)
        added = given.get(self.added) if self.added else None
        if added is not None:
            beta = given.get("beta", 1)
            # As torch defines it: with 0 the addend is not read, whatever is in it.
            result = result + beta * added.float() if beta else result
        return result.to(left.dtype)


PRODUCTS = {
    "aten::mm": Product("self", "mat2"),
    "aten::bmm": Product("self", "mat2"),
    "aten::matmul": Product("self", "other"),
    "aten::mv": Product("self", "vec"),
    "aten::dot": Product("self", "tensor"),
    "aten::addmm": Product("mat1", "mat2", "self"),
    "aten::addmv": Product("mat", "vec", "self"),
    "aten::baddbmm": Product("batch1", "batch2", "self"),
    "aten::linear": Product("input", "weight", "bias", transposed=True),
    "npu::npu_linear": Product("input", "weight", "bias", transposed=True),
    "npu::npu_bmmV2": Product("input", "mat2"),
}
ROUNDED = {torch.float32, torch.float16, torch.bfloat16}


def summed_axis(right: torch.Tensor) -> int:
    """The right factor's axis that is summed over."""
    return -2 if right.dim() > 1 else -1


def in_parts(left: torch.Tensor, right: torch.Tensor, size: int) -> list[torch.Tensor]:
    """The products of at most ``size`` terms each whose sum is the product of the factors."""
    split: Any = torch.split
    pairs = zip(split(left, size, -1), split(right, size, summed_axis(right)), strict=True)
    return [torch.matmul(a, b) for a, b in pairs]


def is_rounded(given: Arguments, product: Product) -> bool:
    """Whether the operator's numbers are floating-point of a kind that a card multiplies, and there is one."""
    left: Any = given[product.left]
    return left.dtype in ROUNDED and left.shape[-1] > 0
