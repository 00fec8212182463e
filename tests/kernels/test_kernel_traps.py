"""Mistakes that ports and other people's references make: each one is told apart by the check that kernels pass.

A trap is a wrong variant of an operator, written out here. The kernel agrees with the formula, the variant does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional

from harness import plugins
from harness.errors import NotCovered
from tests.kernels import formulas
from tests.kernels.formulas import agrees, exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kernels.formulas import Exact


class Trap(NamedTuple):
    """What the kernel gives, what the mistake gives, and what is right."""

    kernel: Callable[[], Any]
    mistake: Callable[[], torch.Tensor]
    right: Callable[[], Exact]


def _normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def call(name: str, *tensors: Any, **options: Any) -> Any:
    result = plugins.load("kernels", name).kernel(*tensors, **options)
    return result[0] if isinstance(result, tuple) else result


X = _normal(4, 8)
HALF = _normal(64, 64, seed=1, dtype=torch.bfloat16)
GAMMA = _normal(64, seed=2, dtype=torch.bfloat16)
SMALL = 1e-3 * X
TABLE = _normal(1, 3, 1, 8, seed=4), _normal(1, 3, 1, 8, seed=5)
LONG = _normal(2, 3, 2, 8, seed=3)
QUERY, KEY, VALUE = (_normal(1, 2, length, 4, seed=6 + part) for part, length in enumerate((3, 5, 5)))
MASK = torch.tensor([[False, True, False, True, True], [True, False, False, False, True], [False] * 4 + [True]])
TRIANGLE = torch.ones(2048, 2048, dtype=torch.bool).triu(diagonal=1)


def _attention(**options: Any) -> Any:
    return call("npu_fusion_attention", QUERY, KEY, VALUE, 2, "BNSD", **options)


def _right(hidden: Any = False, scale: float = 1.0, pse: Exact | None = None) -> Exact:  # noqa: FBT002 - nothing hidden
    return formulas.attention(exact(QUERY), exact(KEY), exact(VALUE), np.asarray(hidden), scale, pse)[0]


def _plain(shown: torch.Tensor | None = None, scale: float = 1.0) -> torch.Tensor:
    return functional.scaled_dot_product_attention(QUERY, KEY, VALUE, attn_mask=shown, scale=scale)


def _rounded_before_the_weight() -> torch.Tensor:
    wide = HALF.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(HALF.dtype) * GAMMA


def _over_the_last_axis_only() -> torch.Tensor:
    return X * torch.rsqrt(X.square().mean(-1, keepdim=True) + 1e-6)


def _filled(fill: float) -> torch.Tensor:
    hidden = torch.tensor([[True] * 8, *[[False] * 8] * 3])
    return X.masked_fill(hidden, fill).softmax(-1)


PSE = _normal(1, 2, 3, 5, seed=9)
BOTTOM_RIGHT = ~torch.ones(3, 5, dtype=torch.bool).tril(diagonal=2)
TOP_LEFT = ~torch.ones(3, 5, dtype=torch.bool).tril()
FIRST_ROW = torch.tensor([[True] * 8, *[[False] * 8] * 3])

TRAPS = {
    "mask polarity": Trap(lambda: _attention(atten_mask=MASK), lambda: _plain(shown=MASK), lambda: _right(MASK)),
    "scale of PyTorch": Trap(_attention, lambda: _plain(scale=0.5), _right),
    "position encoding added after the scale": Trap(
        lambda: _attention(pse=PSE, scale=0.5),
        lambda: ((QUERY @ KEY.mT) * 0.5 + PSE).softmax(-1) @ VALUE,
        lambda: _right(scale=0.5, pse=exact(PSE)),
    ),
    "causal from the first corner": Trap(
        lambda: _attention(atten_mask=TRIANGLE, sparse_mode=3), lambda: _plain(~TOP_LEFT), lambda: _right(BOTTOM_RIGHT)
    ),
    "causal from the last corner": Trap(
        lambda: _attention(atten_mask=TRIANGLE, sparse_mode=2), lambda: _plain(~BOTTOM_RIGHT), lambda: _right(TOP_LEFT)
    ),
    "mask added as -10000 where all is masked": Trap(
        lambda: call("npu_scaled_masked_softmax", X, FIRST_ROW),
        lambda: _filled(-10000),
        lambda: formulas.masked_softmax(exact(X), FIRST_ROW.numpy(), 1.0),
    ),
    "not a number where all is masked": Trap(
        lambda: call("npu_scaled_masked_softmax", X, FIRST_ROW),
        lambda: _filled(-math.inf),
        lambda: formulas.masked_softmax(exact(X), FIRST_ROW.numpy(), 1.0),
    ),
    "erf in geglu": Trap(
        lambda: call("npu_geglu", X),
        lambda: X[:, :4] * functional.gelu(X[:, 4:]),
        lambda: np.asarray(exact(X)[:, :4] * formulas.gelu_tanh(exact(X)[:, 4:])),
    ),
    "tanh in geglu": Trap(
        lambda: call("npu_geglu", X, approximate=0),
        lambda: X[:, :4] * functional.gelu(X[:, 4:], approximate="tanh"),
        lambda: np.asarray(exact(X)[:, :4] * formulas.gelu_erf(exact(X)[:, 4:])),
    ),
    "halves of geglu swapped": Trap(
        lambda: call("npu_geglu", X),
        lambda: X[:, 4:] * functional.gelu(X[:, :4], approximate="tanh"),
        lambda: np.asarray(exact(X)[:, :4] * formulas.gelu_tanh(exact(X)[:, 4:])),
    ),
    "halves of swiglu swapped": Trap(
        lambda: call("npu_swiglu", X),
        lambda: X[:, :4] * functional.silu(X[:, 4:]),
        lambda: np.asarray(formulas.silu(exact(X)[:, :4]) * exact(X)[:, 4:]),
    ),
    "fast gelu taken for gelu": Trap(
        lambda: call("npu_fast_gelu", X), lambda: functional.gelu(X), lambda: formulas.fast_gelu(exact(X))
    ),
    "tanh in gelu": Trap(
        lambda: call("npu_gelu", X),
        lambda: functional.gelu(X, approximate="tanh"),
        lambda: formulas.gelu_erf(exact(X)),
    ),
    "interleave for half": Trap(
        lambda: call("npu_rotary_mul", LONG, *TABLE),
        lambda: LONG * TABLE[0] + torch.stack((-LONG[..., 1::2], LONG[..., ::2]), -1).flatten(-2) * TABLE[1],
        lambda: formulas.rotary(exact(LONG), exact(TABLE[0]), exact(TABLE[1]), "half"),
    ),
    "half for interleave": Trap(
        lambda: call("npu_rotary_mul", LONG, *TABLE, rotary_mode="interleave"),
        lambda: LONG * TABLE[0] + torch.cat((-LONG[..., 4:], LONG[..., :4]), -1) * TABLE[1],
        lambda: formulas.rotary(exact(LONG), exact(TABLE[0]), exact(TABLE[1]), "interleave"),
    ),
    "halves turned the other way": Trap(
        lambda: call("npu_rotary_mul", LONG, *TABLE),
        lambda: LONG * TABLE[0] + torch.cat((LONG[..., 4:], -LONG[..., :4]), -1) * TABLE[1],
        lambda: formulas.rotary(exact(LONG), exact(TABLE[0]), exact(TABLE[1]), "half"),
    ),
    "epsilon of layer norm": Trap(
        lambda: call("npu_rms_norm", SMALL, torch.ones(8)),
        lambda: SMALL * torch.rsqrt(SMALL.square().mean(-1, keepdim=True) + 1e-5),
        lambda: formulas.rms_norm(exact(SMALL), np.ones(8), 1e-6)[0],
    ),
    "rounding before the weight": Trap(
        lambda: call("npu_rms_norm", HALF, GAMMA),
        _rounded_before_the_weight,
        lambda: formulas.rms_norm(exact(HALF), exact(GAMMA), 1e-6)[0],
    ),
    "the last axis only": Trap(
        lambda: call("npu_rms_norm", X, torch.ones(4, 8)),
        _over_the_last_axis_only,
        lambda: formulas.rms_norm(exact(X), np.ones((4, 8)), 1e-6)[0],
    ),
    "gamma of gemma without its one": Trap(
        lambda: call("npu_gemma_rms_norm", HALF, GAMMA),
        lambda: call("npu_rms_norm", HALF, GAMMA),
        lambda: formulas.rms_norm(exact(HALF), 1 + exact(GAMMA), 1e-6)[0],
    ),
    "the sum not rounded": Trap(
        lambda: call("npu_add_rms_norm", HALF, HALF.flip(0), GAMMA),
        lambda: call("npu_rms_norm", HALF.float() + HALF.flip(0).float(), GAMMA).to(HALF.dtype),
        lambda: formulas.rms_norm(formulas.rounded_sum(HALF, HALF.flip(0)), exact(GAMMA), 1e-6)[0],
    ),
    "weight and bias of layer norm ignored": Trap(
        lambda: call("npu_layer_norm_eval", X, [8], 2 * torch.ones(8), torch.ones(8)),
        lambda: functional.layer_norm(X, [8]),
        lambda: formulas.layer_norm(exact(X), 8, np.full(8, 2.0), np.ones(8), 1e-5),
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_sprung_trap_is_told_apart(name: str) -> None:
    trap = TRAPS[name]
    assert agrees(trap.kernel(), trap.right())
    assert not agrees(trap.mistake(), trap.right())


@pytest.mark.parametrize("shape", [(1, 1, 1, 5), (1, 5), (1, 1, 3, 1), (1, 2, 1, 5)], ids=str)
def test_a_mask_that_was_not_expanded_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(NotCovered, match=r"atten_mask is bool\[.*SS, 11SS, B1SS and BNSS.*expand it before the call"):
        _attention(atten_mask=torch.zeros(shape, dtype=torch.bool))


def test_a_float_mask_of_other_libraries_is_refused() -> None:
    with pytest.raises(NotCovered, match=r"atten_mask is float32.*where 1 hides"):
        _attention(atten_mask=torch.zeros(3, 5))


Q = torch.ones(1, 2, 3, 4)
ROTARY = torch.ones(1, 3, 1, 4)
UNCOVERED: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], str]] = {
    "dropout": ("npu_fusion_attention", (Q, Q, Q, 2, "BNSD"), {"keep_prob": 0.9}, "keep_prob is 0.9.*generator"),
    "dropout mask": ("npu_fusion_attention", (Q, Q, Q, 2, "BNSD"), {"dropout_mask": Q}, "dropout_mask is float32"),
    "packed layout": ("npu_fusion_attention", (Q[0], Q[0], Q[0], 2, "TND"), {}, "input_layout is 'TND'"),
    "rank": ("npu_fusion_attention", (Q, Q, Q, 2, "BSH"), {}, "query is float32.*BSH"),
    "types": ("npu_fusion_attention", (Q, Q.half(), Q, 2, "BNSD"), {}, "key is float16.*one type"),
    "heads": ("npu_fusion_attention", (Q, Q, Q, 3, "BNSD"), {}, "query is float32.*3 heads"),
    "heads of a width": ("npu_fusion_attention", (Q[0], Q[0], Q[0], 3, "BSH"), {}, "query is float32.*3 heads"),
    "shared heads": (
        "npu_fusion_attention",
        (Q, Q.repeat(1, 2, 1, 1)[:, :3], Q.repeat(1, 2, 1, 1)[:, :3], 2, "BNSD"),
        {},
        "key is float32.*divides",
    ),
    "lengths of keys and values": (
        "npu_fusion_attention",
        (Q, Q, Q[:, :, :2], 2, "BNSD"),
        {},
        "key is float32.*fit each other",
    ),
    "prefix mode": ("npu_fusion_attention", (Q, Q, Q, 2, "BNSD"), {"sparse_mode": 6}, "sparse_mode is 6"),
    "inner_precise": ("npu_fusion_attention", (Q, Q, Q, 2, "BNSD"), {"inner_precise": 3}, "inner_precise is 3"),
    "mask for the compressed one": (
        "npu_fusion_attention",
        (Q, Q, Q, 2, "BNSD"),
        {"atten_mask": torch.zeros(3, 3, dtype=torch.bool), "sparse_mode": 3},
        "atten_mask is bool.*triangle",
    ),
    "compressed mask the wrong way": (
        "npu_fusion_attention",
        (Q, Q, Q, 2, "BNSD"),
        {"atten_mask": ~TRIANGLE, "sparse_mode": 2},
        "atten_mask is bool.*triangle",
    ),
    "band against mask": (
        "npu_fusion_attention",
        (Q, Q, Q, 2, "BNSD"),
        {"atten_mask": torch.zeros(3, 3, dtype=torch.bool), "next_tockens": 0},
        "pre_tockens is 2147483647 with next_tockens 0.*mask shows more",
    ),
    "compressed position encoding": (
        "npu_fusion_attention",
        (Q, Q, Q, 2, "BNSD"),
        {"pse": torch.ones(1, 2, 1024, 3)},
        "pse is float32.*not compressed",
    ),
    "gamma of another length": ("npu_rms_norm", (X, torch.ones(7)), {}, r"gamma is float32\[7\]"),
    "gamma without axes": ("npu_rms_norm", (X, torch.ones(())), {}, r"gamma is float32\[\]"),
    "summands unlike": ("npu_add_rms_norm", (X, X.half(), torch.ones(8)), {}, "x2 is float16"),
    "approximate": ("npu_geglu", (X,), {"approximate": 2}, "approximate is 2"),
    "odd halves": ("npu_swiglu", (X[:, :7],), {}, "input is float32.*even length"),
    "no such axis": ("npu_swiglu", (X,), {"dim": 2}, "dim is 2"),
    "gelu": ("npu_gelu", (X,), {"approximate": "erf"}, "approximate is 'erf'"),
    "rotary mode": (
        "npu_rotary_mul",
        (ROTARY, ROTARY, ROTARY),
        {"rotary_mode": "quarter"},
        "rotary_mode is 'quarter'.*half and interleave",
    ),
    "odd rotary": ("npu_rotary_mul", (X[:, :7], X[:, :7], X[:, :7]), {}, r"input is float32\[4, 7\].*even length"),
    "rotary table": ("npu_rotary_mul", (ROTARY, ROTARY[..., :2], ROTARY), {}, r"r1 is float32\[1, 3, 1, 2\]"),
    "rotate": ("npu_rotary_mul", (ROTARY, ROTARY, ROTARY), {"rotate": torch.ones(2, 2)}, "rotate is float32"),
    "table of another layout": (
        "npu_apply_rotary_pos_emb",
        (ROTARY, ROTARY, ROTARY, ROTARY),
        {"layout": "BNSD"},
        "cos is float32.*BNSD with length 1 at N",
    ),
    "rotary layout": (
        "npu_apply_rotary_pos_emb",
        (ROTARY, ROTARY, ROTARY, ROTARY),
        {"layout": "BSH"},
        "layout is 'BSH'",
    ),
    "normalized shape": ("npu_layer_norm_eval", (X, [7]), {}, r"normalized_shape is \[7\]"),
    "layer norm weight": ("npu_layer_norm_eval", (X, [8], torch.ones(7)), {}, "weight is float32"),
    "groups": ("npu_group_norm_silu", (X, None, None, 3), {}, "group is 3"),
    "group weight": ("npu_group_norm_silu", (X, torch.ones(7), None, 2), {}, "weight is float32"),
    "group types": ("npu_group_norm_silu", (X, torch.ones(8), torch.ones(8).half(), 2), {}, "bias is float16"),
    "mask of numbers": ("npu_scaled_masked_softmax", (X, X), {}, "mask is float32"),
    "mask too large": ("npu_scaled_masked_softmax", (X, torch.ones(2, 4, 8, dtype=torch.bool)), {}, "mask is bool"),
}


@pytest.mark.parametrize("form", UNCOVERED)
def test_what_is_not_computed_is_refused_and_never_ignored(form: str) -> None:
    name, tensors, options, words = UNCOVERED[form]
    with pytest.raises(NotCovered, match=rf"^{name}: argument {words}.*npu_ops: hidden") as refused:
        plugins.load("kernels", name).kernel(*tensors, **options)
    assert "computes only" in str(refused.value)


@pytest.mark.parametrize("name", ["npu_fusion_attention", "npu_fusion_attention_v3"])
@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("padding_mask", Q, "float32[1, 2, 3, 4]"),
        ("prefix", [1], "[1]"),
        ("actual_seq_qlen", [3], "[3]"),
        ("actual_seq_kvlen", torch.ones(1, dtype=torch.int64), "int64[1]"),
        ("softmax_layout", "TND", "'TND'"),
        ("sink", Q, "float32[1, 2, 3, 4]"),
    ],
)
def test_attention_refuses_every_argument_that_it_has_nothing_to_do_with(
    name: str, argument: str, value: Any, words: str
) -> None:
    with pytest.raises(NotCovered) as refused:
        call(name, Q, Q, Q, 2, "BNSD", **{argument: value})
    assert str(refused.value).startswith(f"{name}: argument {argument} is {words}; its reference kernel computes only")
