"""Every kernel over drawn types, shapes and orders in memory against the formulas of ``formulas.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from tests.kernels import formulas
from tests.kernels.formulas import TYPES, agrees, exact

if TYPE_CHECKING:
    from collections.abc import Callable

ORDERS = ["contiguous", "transposed", "every second"]

drawn = settings(max_examples=25, derandomize=True)
types = st.sampled_from(TYPES)
orders = st.sampled_from(ORDERS)
seeds = st.integers(0, 2**31)
sides = st.integers(1, 5)


def call(name: str) -> Callable[..., Any]:
    return plugins.load("kernels", name).kernel


def tensor(shape: tuple[int, ...], dtype: torch.dtype, order: str = "contiguous", seed: int = 0) -> torch.Tensor:
    """Normal numbers, rounded to the type, in one of the orders that callers hand over."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    if order == "transposed" and values.dim() > 1:
        return values.mT.contiguous().mT
    return torch.stack((values, -values), dim=-1)[..., 0] if order == "every second" else values


# --- norms -----------------------------------------------------------------------------------------------------------


@given(
    lengths=st.lists(sides, min_size=1, max_size=4),
    data=st.data(),
    dtype=types,
    wide_gamma=st.booleans(),
    order=orders,
    seed=seeds,
)
@drawn
def test_rms_norms_cover_as_many_axes_as_gamma(  # noqa: PLR0913 - what is drawn
    *, lengths: list[int], data: st.DataObject, dtype: torch.dtype, wide_gamma: bool, order: str, seed: int
) -> None:
    axes = data.draw(st.integers(1, len(lengths)))
    epsilon = data.draw(st.sampled_from([1e-6, 1e-5, 0.1]))
    x = tensor(tuple(lengths), dtype, order, seed)
    gamma = tensor(
        tuple(lengths[-axes:]), torch.float32 if wide_gamma and dtype != torch.float64 else dtype, seed=seed + 1
    )
    for name, offset in (("npu_rms_norm", 0), ("npu_gemma_rms_norm", 1)):
        y, rstd = call(name)(x, gamma, epsilon)
        expected_y, expected_rstd = formulas.rms_norm(exact(x), exact(gamma) + offset, epsilon)
        assert y.dtype == dtype
        assert rstd.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert agrees(y, expected_y)
        assert agrees(rstd, expected_rstd)


@given(st.lists(sides, min_size=1, max_size=3), types, orders, seeds)
@drawn
def test_no_gamma_is_a_gamma_of_ones(lengths: list[int], dtype: torch.dtype, order: str, seed: int) -> None:
    x = tensor(tuple(lengths), dtype, order, seed)
    ones = torch.ones(lengths[-1], dtype=dtype)
    for one, other in zip(call("npu_rms_norm")(x, None), call("npu_rms_norm")(x, ones), strict=True):
        assert torch.equal(one, other)


@given(st.lists(sides, min_size=1, max_size=3), types, orders, seeds)
@drawn
def test_the_sum_is_rounded_before_it_is_normalised(
    lengths: list[int], dtype: torch.dtype, order: str, seed: int
) -> None:
    x1, x2 = (tensor(tuple(lengths), dtype, order, seed + part) for part in (0, 1))
    gamma = tensor((lengths[-1],), dtype, seed=seed + 2)
    y, rstd, x = call("npu_add_rms_norm")(x1, x2, gamma)
    assert x.dtype == dtype
    assert agrees(x, formulas.rounded_sum(x1, x2), computed=dtype)
    expected_y, expected_rstd = formulas.rms_norm(formulas.rounded_sum(x1, x2), exact(gamma), 1e-6)
    assert agrees(y, expected_y)
    assert agrees(rstd, expected_rstd)


@given(
    lengths=st.lists(sides, min_size=1, max_size=3),
    with_weight=st.booleans(),
    with_bias=st.booleans(),
    dtype=types,
    order=orders,
    seed=seeds,
)
@drawn
def test_layer_norm(  # noqa: PLR0913 - what is drawn
    *, lengths: list[int], with_weight: bool, with_bias: bool, dtype: torch.dtype, order: str, seed: int
) -> None:
    x = tensor((*lengths, 6), dtype, order, seed)
    shape = (lengths[-1], 6) if len(lengths) > 1 else (6,)
    weight = tensor(shape, dtype, seed=seed + 1) if with_weight else None
    bias = tensor(shape, dtype, seed=seed + 2) if with_bias else None
    factors = [
        np.full(shape, missing) if given is None else exact(given) for given, missing in ((weight, 1.0), (bias, 0.0))
    ]
    y = call("npu_layer_norm_eval")(x, shape, weight, bias, 0.01)
    assert y.dtype == dtype
    assert agrees(y, formulas.layer_norm(exact(x), int(np.prod(shape)), factors[0], factors[1], 0.01))


@given(
    batch=sides,
    group=st.integers(1, 3),
    size=st.integers(1, 3),
    behind=st.lists(sides, max_size=3),
    weighted=st.booleans(),
    dtype=types,
    order=orders,
    seed=seeds,
)
@drawn
def test_group_norm_silu_of_any_rank(  # noqa: PLR0913 - what is drawn
    *, batch: int, group: int, size: int, behind: list[int], weighted: bool, dtype: torch.dtype, order: str, seed: int
) -> None:
    channels = group * size
    x = tensor((batch, channels, *behind), dtype, order, seed)
    weight, bias = (tensor((channels,), dtype, seed=seed + part) if weighted else None for part in (1, 2))
    factors = [
        np.full(channels, missing) if given is None else exact(given) for given, missing in ((weight, 1.0), (bias, 0.0))
    ]
    results = call("npu_group_norm_silu")(x, weight, bias, group, 0.01)
    expected = formulas.group_norm_silu(exact(x), factors[0], factors[1], group, 0.01)
    for actual, value in zip(results, expected, strict=True):
        assert actual.dtype == dtype
        assert agrees(actual, value)


def test_mean_and_rstd_have_the_type_of_weight_and_bias() -> None:
    x, ones = tensor((1, 2, 3), torch.bfloat16), torch.ones(2)
    assert [each.dtype for each in call("npu_group_norm_silu")(x, ones, ones, 1)] == [
        torch.bfloat16,
        torch.float32,
        torch.float32,
    ]
    assert call("npu_group_norm_silu")(x, ones, None, 1)[1].dtype == torch.bfloat16


# --- activations -----------------------------------------------------------------------------------------------------


@given(st.lists(sides, min_size=1, max_size=3), st.data(), types, orders, seeds)
@drawn
def test_gated_units_along_every_axis(
    lengths: list[int], data: st.DataObject, dtype: torch.dtype, order: str, seed: int
) -> None:
    dim = data.draw(st.integers(-len(lengths), len(lengths) - 1))
    lengths[dim] *= 2
    x = tensor(tuple(lengths), dtype, order, seed)
    left, right = formulas.halves(exact(x), dim)
    assert agrees(call("npu_swiglu")(x, dim), formulas.silu(left) * right)
    for approximate, gelu in ((0, formulas.gelu_erf), (1, formulas.gelu_tanh)):
        for activate_left in (False, True):
            factor, gate = (right, left) if activate_left else (left, right)
            y, activated = call("npu_geglu")(x, dim, approximate, activate_left)
            assert y.dtype == activated.dtype == dtype
            assert agrees(y, factor * gelu(gate))
            assert agrees(activated, gelu(gate))


@given(st.lists(sides, max_size=3), types, orders, st.sampled_from([1e-3, 1, 10]), seeds)
@drawn
def test_activations(lengths: list[int], dtype: torch.dtype, order: str, size: float, seed: int) -> None:
    x = (tensor(tuple(lengths), dtype, order, seed) * size).to(dtype)
    assert agrees(call("npu_gelu")(x), formulas.gelu_erf(exact(x)))
    assert agrees(call("npu_gelu")(x, approximate="tanh"), formulas.gelu_tanh(exact(x)))
    assert agrees(call("npu_fast_gelu")(x), formulas.fast_gelu(exact(x)))
    assert agrees(call("npu_silu")(x), formulas.silu(exact(x)))


# --- positions -------------------------------------------------------------------------------------------------------


@given(
    batch=sides,
    length=sides,
    heads=sides,
    mode=st.sampled_from(["half", "interleave"]),
    dtype=types,
    order=orders,
    seed=seeds,
    whole=st.booleans(),
)
@drawn
def test_rotary_embeddings_and_the_matrix_that_does_the_same(  # noqa: PLR0913 - what is drawn
    *, batch: int, length: int, heads: int, mode: str, dtype: torch.dtype, order: str, seed: int, whole: bool
) -> None:
    x = tensor((batch, length, heads, 6), dtype, order, seed)
    cos, sin = (tensor(tuple(x.shape) if whole else (1, length, 1, 6), dtype, seed=seed + part) for part in (1, 2))
    expected = formulas.rotary(exact(x), exact(cos), exact(sin), mode)
    matrix = torch.zeros(6, 6, dtype=dtype)
    for place in range(3):
        a, b = (place, place + 3) if mode == "half" else (2 * place, 2 * place + 1)
        matrix[b, a], matrix[a, b] = -1, 1
    for options in ({"rotary_mode": mode}, {"rotate": matrix}):
        y = call("npu_rotary_mul")(x, cos, sin, **options)
        assert y.dtype == dtype
        assert agrees(y, expected)


@given(st.sampled_from(["BSND", "SBND", "BNSD", "TND"]), st.sampled_from(["half", "interleave"]), types, orders, seeds)
@drawn
def test_queries_and_keys_are_embedded_in_every_layout(
    layout: str, mode: str, dtype: torch.dtype, order: str, seed: int
) -> None:
    lengths = {"B": 2, "S": 3, "T": 5, "N": 2, "D": 4}
    query = tensor(tuple(lengths[axis] for axis in layout), dtype, order, seed)
    key = tensor(tuple({**lengths, "N": 1}[axis] for axis in layout), dtype, order, seed + 1)
    shape = tuple({**lengths, "N": 1, "B": 1}[axis] for axis in layout)
    cos, sin = (tensor(shape, dtype, seed=seed + part) for part in (2, 3))
    results = call("npu_apply_rotary_pos_emb")(query, key, cos, sin, layout, mode)
    for x, y in zip((query, key), results, strict=True):
        assert y.dtype == dtype
        assert agrees(y, formulas.rotary(exact(x), exact(cos), exact(sin), mode))


# --- softmax and attention -------------------------------------------------------------------------------------------


@given(st.lists(sides, min_size=2, max_size=4), st.data(), types, orders, seeds)
@drawn
def test_masked_places_weigh_nothing(
    lengths: list[int], data: st.DataObject, dtype: torch.dtype, order: str, seed: int
) -> None:
    x = tensor(tuple(lengths), dtype, order, seed)
    shape = tuple(data.draw(st.sampled_from([1, length])) for length in lengths)
    scale = data.draw(st.sampled_from([1, 0.5, -2.0]))
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < data.draw(
        st.sampled_from([0.0, 0.4, 1.0])
    )
    y = call("npu_scaled_masked_softmax")(x, mask, scale)
    assert y.dtype == dtype
    assert agrees(y, formulas.masked_softmax(exact(x), mask.numpy(), scale))
    assert not y[mask.expand(x.shape)].any()


def test_a_score_that_is_not_a_number_stays_one() -> None:
    x = torch.tensor([[float("nan"), 1.0], [0.0, 0.0]])
    y = call("npu_scaled_masked_softmax")(x, torch.tensor([[False, False], [True, True]]))
    assert y[0].isnan().all()
    assert y[1].tolist() == [0, 0]


AXES = {"BSH": (0, 2, 1, 3), "SBH": (2, 0, 1, 3), "BSND": (0, 2, 1, 3), "BNSD": (0, 1, 2, 3)}


def in_layout(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """A tensor ``[B, N, S, D]`` as a caller with that layout has it."""
    moved = tensor.permute(AXES[layout])
    return moved.reshape(*moved.shape[:2], -1) if layout.endswith("H") else moved


def hidden_places(mode: int, queries: int, keys: int, pre: int, after: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Places that a sparse mode hides, written out place by place."""
    first = 0 if mode in {0, 2} else keys - queries
    before, behind = (pre, after) if mode in {0, 4} else (queries + keys, 0)
    return np.array(
        [[not i + first - before <= j <= i + first + behind for j in range(keys)] for i in range(queries)], bool
    )


@given(
    st.sampled_from([*AXES]),
    sides,
    st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 2)]),
    sides,
    sides,
    types,
    seeds,
    st.data(),
)
@drawn
def test_attention_in_every_layout_with_every_mask_shape(  # noqa: PLR0913, PLR0917 - what is drawn
    layout: str,
    batch: int,
    heads: tuple[int, int],
    queries: int,
    keys: int,
    dtype: torch.dtype,
    seed: int,
    data: st.DataObject,
) -> None:
    shapes = ((batch, heads[0], queries, 4), (batch, heads[1], keys, 4), (batch, heads[1], keys, 4))
    q, k, v = (tensor(shape, dtype, "contiguous", seed + part) for part, shape in enumerate(shapes))
    full = (batch, heads[0], queries, keys)
    shape = data.draw(st.sampled_from([None, full, (batch, 1, *full[2:]), (1, 1, *full[2:]), full[2:]]))
    added = data.draw(st.sampled_from([None, full, (*full[:2], 1, keys), (1, *full[1:])]))
    chance = torch.Generator().manual_seed(seed)
    mask = None if shape is None else torch.rand(shape, generator=chance) < 0.4
    pse = None if added is None else tensor(added, dtype, seed=seed + 5)
    scale = data.draw(st.sampled_from([1.0, 0.5]))
    given_mask = None if mask is None else mask.to(data.draw(st.sampled_from([torch.bool, torch.uint8])))
    results = call("npu_fusion_attention")(
        *(in_layout(each, layout) for each in (q, k, v)),
        heads[0],
        layout,
        pse=pse,
        atten_mask=given_mask,
        scale=scale,
        sparse_mode=data.draw(st.sampled_from([0, 1])),
    )
    hidden = np.zeros((), bool) if mask is None else mask.numpy()
    out, top, total = formulas.attention(
        exact(q), exact(k), exact(v), hidden, scale, None if pse is None else exact(pse)
    )
    assert results[0].dtype == dtype
    assert agrees(results[0], exact(in_layout(torch.from_numpy(out), layout)))
    assert tuple(results[1].shape) == tuple(results[2].shape) == (batch, heads[0], queries, 8)
    assert agrees(results[1], top)
    assert agrees(results[2], total)


@given(
    st.sampled_from([2, 3, 4]),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(-2, 6),
    st.integers(-2, 6),
    types,
    seeds,
)
@settings(max_examples=40, derandomize=True)
def test_sparse_modes_count_from_their_corner(  # noqa: PLR0913, PLR0917 - what is drawn
    mode: int, queries: int, keys: int, pre: int, after: int, dtype: torch.dtype, seed: int
) -> None:
    q, k, v = (tensor((1, 2, length, 4), dtype, seed=seed + part) for part, length in enumerate((queries, keys, keys)))
    triangle = torch.ones(2048, 2048, dtype=torch.bool).triu(diagonal=1)
    hidden = hidden_places(mode, queries, keys, pre, after)
    expected = formulas.attention(exact(q), exact(k), exact(v), hidden, 0.5)
    for name in ("npu_fusion_attention", "npu_fusion_attention_v3"):
        results = call(name)(
            q, k, v, 2, "BNSD", atten_mask=triangle, scale=0.5, sparse_mode=mode, pre_tockens=pre, next_tockens=after
        )
        for actual, value in zip(results[:3], expected, strict=True):
            assert agrees(actual, value)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), seeds)
@drawn
def test_a_band_that_the_mask_repeats_changes_nothing(queries: int, keys: int, pre: int, after: int, seed: int) -> None:
    q, k, v = (
        tensor((1, 1, length, 4), torch.float32, seed=seed + part) for part, length in enumerate((queries, keys, keys))
    )
    mask = torch.from_numpy(hidden_places(0, queries, keys, pre, after))
    with_band = call("npu_fusion_attention")(q, k, v, 1, "BNSD", atten_mask=mask, pre_tockens=pre, next_tockens=after)
    assert torch.equal(with_band[0], call("npu_fusion_attention")(q, k, v, 1, "BNSD", atten_mask=mask)[0])


@pytest.mark.parametrize("options", [{"sparse_mode": 3}, {"pre_tockens": 0, "next_tockens": 0}], ids=str)
def test_without_a_mask_modes_and_tockens_have_no_effect(options: dict[str, Any]) -> None:
    q = tensor((1, 2, 3, 4), torch.float32)
    plain = call("npu_fusion_attention")(q, q, q, 2, "BNSD")
    assert torch.equal(call("npu_fusion_attention")(q, q, q, 2, "BNSD", **options)[0], plain[0])


def test_rows_that_see_nothing_give_zeros_and_gradients_that_are_numbers() -> None:
    q = tensor((1, 1, 3, 4), torch.float64).requires_grad_()
    mask = torch.tensor([[True, True, True], [False, False, True], [False, True, True]])
    out = call("npu_fusion_attention")(q, q, q, 1, "BNSD", atten_mask=mask)[0]
    out.sum().backward()
    assert not out[0, 0, 0].any()
    assert q.grad is not None
    assert q.grad.isfinite().all()


def test_the_remaining_results_are_those_of_no_dropout() -> None:
    q = tensor((1, 2, 3, 4), torch.float16)
    rest = call("npu_fusion_attention")(q, q, q, 2, "BNSD")[3:]
    assert (rest[0].shape, rest[0].dtype, rest[1:]) == (torch.Size([0]), torch.float16, (0, 0, 0))
    rest = call("npu_fusion_attention_v3")(q, q, q, 2, "BNSD")[3:]
    assert [(each.tolist(), each.dtype) for each in rest] == [
        ([], torch.float16),
        ([0], torch.int64),
        ([0], torch.int64),
    ]
