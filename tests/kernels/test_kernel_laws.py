"""Laws that every reference kernel keeps: a new file in ``harness/kernels`` is under them without an edit here.

The schemas and one call with its exact results stand in ``KNOWN``; a kernel that is not there is told so by a test.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pytest
import torch

from harness import plugins
from harness.errors import NotCovered
from tests.kernels import formulas
from tests.kernels.formulas import TYPES, agrees, exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kernels.formulas import Exact

KERNELS = plugins.names("kernels")
LOADED = {name: plugins.load("kernels", name) for name in KERNELS}

ATTENTION = (
    "query key value head_num input_layout pse padding_mask atten_mask scale keep_prob pre_tockens next_tockens "
    "inner_precise prefix actual_seq_qlen actual_seq_kvlen sparse_mode gen_mask_parallel sync softmax_layout sink"
)


class Known(NamedTuple):
    """What the documents say of an operator: the arguments of its schema, and one call with what it must give."""

    arguments: str
    tensors: tuple[tuple[int, ...], ...]
    options: tuple[Any, ...]
    expected: Callable[..., tuple[Exact, ...]]


def _attention(query: Exact, key: Exact, value: Exact) -> tuple[Exact, ...]:
    return formulas.attention(query, key, value, np.zeros((), bool), 1.0)


KNOWN = {
    "npu_rms_norm": Known("input gamma epsilon", ((3, 8), (8,)), (1e-6,), lambda x, g: formulas.rms_norm(x, g, 1e-6)),
    "npu_gemma_rms_norm": Known(
        "input gamma epsilon", ((3, 8), (8,)), (1e-6,), lambda x, g: formulas.rms_norm(x, 1 + g, 1e-6)
    ),
    "npu_add_rms_norm": Known(
        "x1 x2 gamma epsilon",
        ((3, 8), (3, 8), (8,)),
        (1e-6,),
        lambda a, b, g: (*formulas.rms_norm(a + b, g, 1e-6), a + b),
    ),
    "npu_geglu": Known(
        "input dim approximate activate_left",
        ((3, 8),),
        (-1, 1, False),
        lambda x: (x[:, :4] * formulas.gelu_tanh(x[:, 4:]), formulas.gelu_tanh(x[:, 4:])),
    ),
    "npu_swiglu": Known("input dim", ((3, 8),), (-1,), lambda x: (formulas.silu(x[:, :4]) * x[:, 4:],)),
    "npu_gelu": Known("input approximate", ((3, 8),), (), lambda x: (formulas.gelu_erf(x),)),
    "npu_fast_gelu": Known("input", ((3, 8),), (), lambda x: (formulas.fast_gelu(x),)),
    "npu_silu": Known("input", ((3, 8),), (), lambda x: (formulas.silu(x),)),
    "npu_rotary_mul": Known(
        "input r1 r2 rotary_mode rotate",
        ((2, 3, 2, 8), (1, 3, 1, 8), (1, 3, 1, 8)),
        ("half",),
        lambda x, cos, sin: (formulas.rotary(x, cos, sin, "half"),),
    ),
    "npu_apply_rotary_pos_emb": Known(
        "query key cos sin layout rotary_mode",
        ((2, 3, 2, 8), (2, 3, 1, 8), (1, 3, 1, 8), (1, 3, 1, 8)),
        ("BSND", "half"),
        lambda q, k, cos, sin: (formulas.rotary(q, cos, sin, "half"), formulas.rotary(k, cos, sin, "half")),
    ),
    "npu_layer_norm_eval": Known(
        "input normalized_shape weight bias eps",
        ((3, 8),),
        ((8,), None, None, 1e-5),
        lambda x: (formulas.layer_norm(x, 8, np.ones(8), np.zeros(8), 1e-5),),
    ),
    "npu_group_norm_silu": Known(
        "input weight bias group eps",
        ((2, 4, 3), (4,), (4,)),
        (2, 1e-5),
        lambda x, w, b: formulas.group_norm_silu(x, w, b, 2, 1e-5),
    ),
    "npu_scaled_masked_softmax": Known(
        "x mask scale fixed_triu_mask",
        ((2, 5, 5),),
        (torch.zeros(5, 5, dtype=torch.bool), 0.5, True),
        lambda x: (formulas.masked_softmax(x, np.triu(np.ones((5, 5), bool), 1), 0.5),),
    ),
    "npu_fusion_attention": Known(
        f"{ATTENTION} dropout_mask seed offset", ((1, 2, 3, 4),) * 3, (2, "BNSD"), _attention
    ),
    "npu_fusion_attention_v3": Known(ATTENTION, ((1, 2, 3, 4),) * 3, (2, "BNSD"), _attention),
}
"""The schemas as torch_npu 2.13.0 registers them."""


def _call(name: str, dtype: torch.dtype) -> tuple[list[torch.Tensor], tuple[torch.Tensor, ...]]:
    """Inputs on a grid that every type holds, sums included, and the tensors among the results."""
    generator = torch.Generator().manual_seed(7)
    known = KNOWN[name]
    tensors = [(torch.randint(-32, 33, shape, generator=generator) / 16).to(dtype) for shape in known.tensors]
    results = LOADED[name].kernel(*tensors, *known.options)
    results = results if isinstance(results, tuple) else (results,)
    return tensors, tuple(each for each in results if isinstance(each, torch.Tensor))


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_says_what_it_is(name: str) -> None:
    kernel: Any = LOADED[name]
    assert "\n" not in kernel.FORMULA
    assert "float32 inside" in kernel.FORMULA
    assert re.search(r"op-plugin|CANN", kernel.SOURCE)
    assert (kernel.__doc__ or "").strip().endswith(".")
    assert "NotCovered:" in (kernel.kernel.__doc__ or "")


def test_every_kernel_has_a_known_schema() -> None:
    assert sorted(KNOWN) == KERNELS, "add the operator's arguments and one call with its exact results to KNOWN"


@pytest.mark.parametrize("name", KERNELS)
def test_the_parameters_are_the_schemas_arguments_in_their_order(name: str) -> None:
    assert " ".join(inspect.signature(LOADED[name].kernel).parameters) == KNOWN[name].arguments


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_result_is_the_formula_up_to_one_rounding(name: str, dtype: torch.dtype) -> None:
    tensors, results = _call(name, dtype)
    expected = KNOWN[name].expected(*map(exact, tensors))
    assert results[0].dtype == dtype
    for actual, value in zip(results, expected, strict=False):
        assert agrees(actual, value)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_second_call_gives_the_same_bits_and_leaves_its_inputs(name: str, dtype: torch.dtype) -> None:
    tensors, first = _call(name, dtype)
    untouched, second = _call(name, dtype)
    assert len(first) == len(second) > 0
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    generator = torch.Generator().manual_seed(7)
    for one, other, shape in zip(tensors, untouched, KNOWN[name].tensors, strict=True):
        fresh = (torch.randint(-32, 33, shape, generator=generator) / 16).to(dtype)
        assert torch.equal(one, fresh)
        assert torch.equal(other, fresh)


@pytest.mark.parametrize("name", KERNELS)
def test_the_order_in_memory_plays_no_part(name: str) -> None:
    tensors, results = _call(name, torch.float32)
    strided = [
        torch.stack((each, each + 9), dim=-1)[..., 0].mT.contiguous().mT if each.dim() > 1 else each for each in tensors
    ]
    assert any(not each.is_contiguous() for each in strided)
    again = LOADED[name].kernel(*strided, *KNOWN[name].options)
    again = again if isinstance(again, tuple) else (again,)
    for one, other in zip(results, again, strict=False):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_pass_through_every_floating_input(name: str) -> None:
    known = KNOWN[name]
    generator = torch.Generator().manual_seed(3)
    tensors = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in known.tensors
    ]

    def first(*inputs: torch.Tensor) -> torch.Tensor:
        result = LOADED[name].kernel(*inputs, *known.options)
        return cast("torch.Tensor", result[0] if isinstance(result, tuple) else result)

    assert torch.autograd.gradcheck(first, tensors)


@pytest.mark.parametrize("name", KERNELS)
def test_whole_numbers_are_refused_with_operator_argument_and_next_step(name: str) -> None:
    known = KNOWN[name]
    tensors = [torch.ones(shape, dtype=torch.int64) for shape in known.tensors]
    with pytest.raises(NotCovered, match=rf"^{name}: argument \w+ is int64\[.*floating-point.*npu_ops: hidden"):
        LOADED[name].kernel(*tensors, *known.options)
