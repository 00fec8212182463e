"""How the simulated cards round: ``exact``, as the CPU does, or ``documented``, as Ascend's documents say.

``documented`` means

* float32 convolutions read their input and weight as HF32, 11 explicit bits of mantissa, rounded to nearest even,
  unless ``torch.npu.conv.allow_hf32`` is False when they are called;
* float32 matrix products do so only while ``torch.npu.matmul.allow_hf32`` is True;
* ``aten::gelu`` ignores ``approximate`` and takes the tanh form, unless compatible implementations are chosen
  (``TORCH_NPU_USE_COMPATIBLE_IMPL=1`` or ``torch.npu.use_compatible_impl(True)``);
* products, convolutions (over input channels) and fused attention (over keys) are summed in two parts, the terms of
  even and of odd number, so they differ from the CPU's in their last bits. That is a form of "another order", chosen
  because it is short and no CPU library takes it; it is no card's order.

In both settings fused RMSNorm computes in float32 and rounds once, ``npu_geglu`` has the form it is asked for (tanh
unless told), and random numbers come from the card's own stream. Backward passes are the CPU's.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
import torch_npu

from tests.ascend_sim import fused, rules
from tests.ascend_sim.products import PRODUCTS, ROUNDED, is_rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ascend_sim.rules import Arguments, Compute, Rule

VARIABLE = "ASCEND_SIM_VALUES"
DROPPED_BITS = 12
"""Of float32's 23 bits of mantissa, those that HF32 does not have."""


def as_hf32(x: torch.Tensor) -> torch.Tensor:
    """A float32 tensor rounded to HF32, to nearest, ties to even; infinities and NaN as they are."""
    bits = x.contiguous().view(torch.int32)
    half = (1 << (DROPPED_BITS - 1)) - 1
    # Sign and magnitude: adding to the bits moves the number away from zero, whatever its sign.
    rounded = (bits + half + ((bits >> DROPPED_BITS) & 1)) & -(1 << DROPPED_BITS)
    return torch.where(x.isfinite(), rounded.view(torch.float32), x)


def gelu_form(given: Arguments) -> str:
    """The form of GELU, ``none`` (erf) or ``tanh``, that a card takes for ``aten::gelu`` in the setting in force."""
    if "aten::gelu" not in rules.rounding or torch_npu.npu.are_compatible_impl_enabled():
        return str(given["approximate"])
    return "tanh"


def gelu(_plain: Compute, given: Arguments) -> torch.Tensor:
    """``aten::gelu`` in the card's form."""
    return F.gelu(given["self"], approximate=gelu_form(given))


def even_and_odd(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """A product as the sum of its terms of even and of odd number."""
    evens, odds = (
        left[..., start::2] @ (right[start::2] if right.dim() == 1 else right[..., start::2, :]) for start in (0, 1)
    )
    return evens + odds


def product(operator: str, plain: Compute, given: Arguments) -> Any:
    """A matrix product in two parts, of HF32 factors where that is allowed."""
    factors = PRODUCTS[operator]
    if not is_rounded(given, factors):
        return plain(given)
    if given[factors.left].dtype == torch.float32 and torch_npu.npu.matmul.allow_hf32:
        given = {**given, **{name: as_hf32(given[name]) for name in (factors.left, factors.right)}}

    return factors.total(given, even_and_odd)


def convolution(plain: Compute, given: Arguments) -> torch.Tensor:
    """A convolution in two parts, of HF32 input and weight unless that is switched off."""
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if x.dtype not in ROUNDED:
        result: torch.Tensor = plain(given)
        return result
    if x.dtype == torch.float32 and torch_npu.npu.conv.allow_hf32:
        x, weight = as_hf32(x), as_hf32(weight)
    dtype = x.dtype
    whole = {**given, "input": x.float(), "weight": weight.float(), "bias": None if bias is None else bias.float()}
    if given["groups"] != 1 or x.shape[1] == 1:
        result = plain(whole)
        return result.to(dtype)
    axis = 0 if given["transposed"] else 1
    parts = (slice(0, None, 2), slice(1, None, 2))
    evens, odds = (
        {**whole, "input": whole["input"][:, part], "weight": whole["weight"][(slice(None),) * axis + (part,)]}
        for part in parts
    )
    result = plain(evens) + plain({**odds, "bias": None})
    return result.to(dtype)


DOCUMENTED: dict[str, Rule] = {
    "aten::convolution": convolution,
    "aten::gelu": gelu,
    **{operator: partial(product, operator) for operator in PRODUCTS},
    "npu::npu_fusion_attention": lambda _plain, given: fused.npu_fusion_attention(given, parts=2),
    "npu::npu_fusion_attention_v3": lambda _plain, given: fused.npu_fusion_attention_v3(given, parts=2),
}
SETTINGS: dict[str, dict[str, Rule]] = {"exact": {}, "documented": DOCUMENTED}


def setting(name: str) -> dict[str, Rule]:
    """The rules of a setting.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"ascend_sim: {VARIABLE} has no setting {name!r}; there are {', '.join(SETTINGS)}.{meant}")
    return SETTINGS[name]


def from_environment() -> None:
    """Put the setting of ``ASCEND_SIM_VALUES`` in force, ``exact`` by default.

    Raises:
        ValueError: There is none of that name.
    """
    rules.round_by(setting(os.environ.get(VARIABLE) or "exact"))


@contextlib.contextmanager
def rounded(name: str) -> Iterator[None]:
    """The cards round by the named setting inside the block.

    Raises:
        ValueError: There is none of that name.
    """
    with rules.rounded_by(setting(name)):
        yield
