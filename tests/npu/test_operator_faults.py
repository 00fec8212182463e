"""Every fault that can be put into the simulated card's operators strikes there, and changes what it should."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it

from tests.ascend_sim import faults, rules, values
from tests.ascend_sim.children import run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ops = torch.ops.npu
EPS = 1e-6


@pytest.fixture(autouse=True)
def exact_values() -> Iterator[None]:
    """Whatever the process was started with, a test starts from the CPU's values."""
    with values.rounded("exact"):
        yield


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def on_card(*shape: int, seed: int = 0) -> torch.Tensor:
    return drawn(*shape, seed=seed).to("npu")


X, WIDE = on_card(4, 32), on_card(1, 4, 8, 8)
W, B, PER_CHANNEL = on_card(32, seed=1), on_card(32, seed=2), on_card(4, seed=3)
Q, K, V = (on_card(1, 2, 8, 8, seed=seed) for seed in range(3))
HIDE = torch.ones(8, 8, dtype=torch.bool).triu(1).to("npu")
SQUARE = on_card(32, 32, seed=4)


def attend(operator: str, **options: Any) -> torch.Tensor:
    result: torch.Tensor = getattr(ops, operator)(Q, K, V, 2, "BNSD", atten_mask=HIDE, scale=0.3, **options)[0]
    return result


def infer(operator: str) -> torch.Tensor:
    result: Any = getattr(ops, operator)(Q, K, V, num_heads=2, input_layout="BNSD", atten_mask=HIDE)
    found: torch.Tensor = result if isinstance(result, torch.Tensor) else result[0]
    return found


CALLS: dict[str, Callable[[], torch.Tensor]] = {
    "npu::npu_rms_norm": lambda: ops.npu_rms_norm(X * 0.1, W, EPS)[0],
    "npu::npu_add_rms_norm": lambda: ops.npu_add_rms_norm(X * 0.1, X * 0.1, W, EPS)[0],
    "npu::npu_gemma_rms_norm": lambda: ops.npu_gemma_rms_norm(X * 0.1, W, EPS)[0],
    "npu::npu_layer_norm_eval": lambda: ops.npu_layer_norm_eval(X * 0.1, [32], W, B, EPS),
    "npu::npu_group_norm_silu": lambda: ops.npu_group_norm_silu(WIDE * 0.1, PER_CHANNEL, PER_CHANNEL, 2, EPS)[0],
    "npu::npu_group_norm_swish": lambda: ops.npu_group_norm_swish(WIDE * 0.1, 2, PER_CHANNEL, PER_CHANNEL, EPS)[0],
    "aten::native_layer_norm": lambda: F.layer_norm(X * 0.1, (32,), W, B, EPS),
    "aten::native_group_norm": lambda: F.group_norm(WIDE * 0.1, 2, PER_CHANNEL, PER_CHANNEL, EPS),
    "aten::native_batch_norm": lambda: F.batch_norm(WIDE * 0.1, None, None, training=True, eps=EPS),
    "aten::gelu": lambda: F.gelu(X),
    "npu::npu_geglu": lambda: ops.npu_geglu(X)[0],
    "npu::npu_gelu": lambda: ops.npu_gelu(X),
    "npu::npu_fusion_attention": lambda: attend("npu_fusion_attention"),
    "npu::npu_fusion_attention_v3": lambda: attend("npu_fusion_attention_v3"),
    "npu::npu_prompt_flash_attention": lambda: infer("npu_prompt_flash_attention"),
    "npu::npu_fused_infer_attention_score": lambda: infer("npu_fused_infer_attention_score"),
    "aten::mm": lambda: torch.ops.aten.mm(SQUARE.requires_grad_(), SQUARE).detach(),
    "aten::bmm": lambda: torch.bmm(SQUARE[None], SQUARE[None]),
    "aten::matmul": lambda: SQUARE.detach() @ SQUARE.detach(),
    "aten::mv": lambda: torch.mv(SQUARE, W),
    "aten::dot": lambda: torch.dot(W, B),
    "aten::addmm": lambda: F.linear(X, SQUARE, B),
    "aten::addmv": lambda: torch.addmv(B, SQUARE, W),
    "aten::baddbmm": lambda: torch.baddbmm(SQUARE[None], SQUARE[None], SQUARE[None]),
    "npu::npu_linear": lambda: ops.npu_linear(X, SQUARE, B),
    "npu::npu_bmmV2": lambda: ops.npu_bmmV2(SQUARE[None], SQUARE[None], []),
    "aten::_softmax": lambda: torch.ops.aten._softmax(on_card(64, 256), -1, False),  # noqa: FBT003 - its schema
    "aten::convolution": lambda: F.conv2d(WIDE, WIDE),
    "aten::silu": lambda: F.silu(X),
    "aten::embedding": lambda: F.embedding(torch.tensor([1, 2]).to("npu"), X),
}
NEVER_CALLED = {"aten::linear", "aten::softmax"}
"""Decomposed before they reach the card from these calls; they share their parts' code."""


@torch.no_grad()
def run(operator: str) -> torch.Tensor:
    return CALLS[operator]().detach().cpu()


CHANGING = [
    (name, operator)
    for name, fault in faults.FAULTS.items()
    for operator in fault.operators
    if name != "stale_cache" and operator not in NEVER_CALLED
]


@pytest.mark.parametrize(("name", "operator"), CHANGING, ids=[f"{name}@{operator}" for name, operator in CHANGING])
def test_a_fault_strikes_in_its_operator_and_changes_its_values_inside_the_block_only(name: str, operator: str) -> None:
    healthy = run(operator)
    with faults.injected(f"{name}@{operator}") as struck:
        faulty = run(operator)
    assert struck == {name: 1}
    assert faulty.shape == healthy.shape
    assert faulty.dtype == healthy.dtype
    assert not torch.equal(faulty, healthy) or (name == "changing_order" and operator == "aten::dot")
    assert torch.equal(run(operator), healthy)


def test_every_operator_with_a_fault_has_a_call_here() -> None:
    assert set(faults.EVERYWHERE) - NEVER_CALLED == set(CALLS)


# --- what each fault does --------------------------------------------------------------------------------------------


def test_the_wrong_epsilon_is_a_hundredth() -> None:
    with faults.injected("wrong_eps"):
        found = run("npu::npu_rms_norm").double()
    x = X.cpu().double() * 0.1
    expected = x / (x * x).mean(-1, keepdim=True).add(1e-2).sqrt() * W.cpu().double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "asked", "given"),
    [
        ("exact", "none", "tanh"),
        ("exact", "tanh", "none"),
        ("documented", "none", "none"),
        ("documented", "tanh", "none"),
    ],
)
def test_the_form_of_gelu_is_not_the_one_that_the_card_would_take(setting: str, asked: str, given: str) -> None:
    with values.rounded(setting), faults.injected("gelu_form@gelu") as struck:
        found = F.gelu(X, approximate=asked).cpu()
    assert torch.equal(found, F.gelu(X.cpu(), approximate=given))
    assert struck["gelu_form"] == 1


@pytest.mark.parametrize("setting", ["exact", "documented"])
@pytest.mark.parametrize("name", ["mask_ignored", "mask_inverted"])
def test_masks_of_sdpa_are_ignored_or_inverted(name: str, setting: str) -> None:
    see = ~HIDE.cpu()
    see[:, 7] = False  # so that the inverted mask hides no row completely
    q, k, v = (x.cpu().double() for x in (Q, K, V))
    scores = q @ k.mT / math.sqrt(8)
    if name == "mask_inverted":
        scores = scores.masked_fill(see, -math.inf)
    with values.rounded(setting), faults.injected(name) as struck:
        found = F.scaled_dot_product_attention(Q, K, V, attn_mask=see.to("npu"))
    torch.testing.assert_close(found.cpu().double(), torch.softmax(scores, -1) @ v, rtol=1e-5, atol=1e-6)
    assert struck == {name: 1}


def test_a_causal_mask_is_ignored_too_and_a_mask_that_is_not_there_is_no_strike() -> None:
    everything = F.scaled_dot_product_attention(Q, K, V)
    with faults.injected("mask_ignored") as struck:
        assert torch.allclose(F.scaled_dot_product_attention(Q, K, V, is_causal=True), everything, atol=1e-6)
    assert struck == {"mask_ignored": 1}
    with faults.injected("mask_ignored,mask_inverted") as struck:
        assert torch.equal(F.scaled_dot_product_attention(Q, K, V), everything)
    assert not struck


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_float16_sums_lose_bits_and_overflow(dtype: torch.dtype) -> None:
    x, w = drawn(16, 512, dtype=dtype).to("npu"), drawn(512, 16, seed=1, dtype=dtype).to("npu")
    exact = x.cpu().double() @ w.cpu().double()
    with faults.injected("fp16_accumulation"):
        found, large = (x @ w).cpu(), (x * 64 @ (w * 64)).cpu()
    error = float((found.double() - exact).norm() / exact.norm())
    healthy = float(((x @ w).cpu().double() - exact).norm() / exact.norm())
    assert found.dtype == dtype
    assert 3e-4 < error < 2e-2
    assert error > healthy + 2e-4 if dtype == torch.float32 else error > healthy
    assert large.isinf().any()


@pytest.mark.parametrize("operator", ["addmm", "native_layer_norm", "_softmax"])
def test_a_changing_order_changes_the_last_bits_from_call_to_call(operator: str) -> None:
    full = f"aten::{operator}"
    healthy = run(full)
    with faults.injected(f"changing_order@{operator}") as struck:
        results = [run(full) for _ in range(4)]
    assert struck["changing_order"] == 4
    assert len({tuple(result.flatten().tolist()) for result in results}) > 1
    for result in results:
        torch.testing.assert_close(result, healthy, rtol=1e-5, atol=1e-5)


def test_a_stale_cache_answers_with_the_first_result_of_the_same_shape() -> None:
    first, second, longer = on_card(3, 8), on_card(3, 8, seed=1), on_card(4, 8)
    with faults.injected("stale_cache@silu") as struck:
        assert torch.equal(F.silu(first).cpu(), F.silu(first.cpu()))
        assert torch.equal(F.silu(longer).cpu(), F.silu(longer.cpu()))
        assert not struck
        stale = F.silu(second)
        stale.zero_()
        assert torch.equal(F.silu(second).cpu(), F.silu(first.cpu())), "what a caller writes is not the cache"
    assert struck == {"stale_cache": 2}
    with faults.injected("stale_cache@silu") as struck:
        assert torch.equal(F.silu(second).cpu(), F.silu(second.cpu())), "a new block begins with nothing"
    assert not struck


def test_several_faults_strike_in_one_operator() -> None:
    with faults.injected("mask_inverted@npu_fusion_attention, stale_cache@npu_fusion_attention") as struck:
        first, again = run("npu::npu_fusion_attention"), run("npu::npu_fusion_attention")
    assert struck == {"mask_inverted": 1, "stale_cache": 1}
    assert torch.equal(first, again)


# --- choosing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "wrong_epsilon",
            r"there is no fault 'wrong_epsilon'\. Did you mean 'wrong_eps'\? There are: wrong_eps, gelu_form",
        ),
        ("zzz", r"there is no fault 'zzz'\. There are: wrong_eps"),
        ("wrong_eps@npu_rmsnorm", r"cannot be put into operator 'npu_rmsnorm'\. Did you mean 'npu_rms_norm'\?"),
        ("wrong_eps,gelu_form@mm", r"fault 'gelu_form' cannot be put into operator 'mm'.* There are: gelu, npu_geglu"),
        ("wrong_eps@", r"cannot be put into operator ''"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_and_all_names(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words), faults.injected(text):
        pytest.fail("nothing may run with a fault that does not exist")
    assert not rules.injected


def test_names_are_read_with_and_without_namespace_and_operator() -> None:
    assert faults.parse("") == {}
    assert faults.parse("wrong_eps") == {"wrong_eps": list(faults.EPS)}
    both = faults.parse(" wrong_eps@npu_rms_norm, wrong_eps@aten::native_layer_norm,")
    assert both == {"wrong_eps": ["npu::npu_rms_norm", "aten::native_layer_norm"]}


def test_a_child_process_reads_its_faults_and_says_how_often_they_struck() -> None:
    code = """
import torch, torch_npu
x = torch.tensor([1.0]).to("npu")
print("gelu", torch.nn.functional.gelu(x).item(), torch.nn.functional.gelu(x).item())
"""
    ended = run_python(code, {faults.VARIABLE: "gelu_form@gelu,wrong_eps", values.VARIABLE: "documented"})
    assert ended.returncode == 0, ended.stderr
    assert f"gelu {F.gelu(torch.tensor([1.0])).item()}" in ended.stdout, "erf, where the documented form is tanh"
    reports = [line for line in ended.stderr.splitlines() if line.startswith("ascend_sim: fault")]
    assert reports == ["ascend_sim: fault gelu_form struck 2 times", "ascend_sim: fault wrong_eps struck 0 times"]


def test_a_child_process_with_a_wrong_name_does_not_start() -> None:
    ended = run_python("import torch, torch_npu; print('started')", {faults.VARIABLE: "wrong_epsilon"})
    assert ended.returncode == 1
    assert "started" not in ended.stdout
    assert "there is no fault 'wrong_epsilon'. Did you mean 'wrong_eps'?" in ended.stderr
