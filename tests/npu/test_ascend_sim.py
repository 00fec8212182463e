"""Simulated cards behave as torch_npu's own code makes cards behave, and compute as the CPU does."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import os
import sys
import types
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
import torch_npu
from torch.utils import _pytree as pytree

from tests.ascend_sim import build, cards, kernels, values
from tests.ascend_sim.children import run_python

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

npu: Any = torch_npu.npu
GIB = 1 << 30


@pytest.fixture(autouse=True)
def exact_values() -> Iterator[None]:
    """Whatever the process was started with, these tests compare with the CPU."""
    with values.rounded("exact"):
        yield


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def same_bits(card: torch.Tensor, cpu: torch.Tensor) -> bool:
    return card.dtype == cpu.dtype and torch.equal(card.cpu(), cpu)


# --- cards -----------------------------------------------------------------------------------------------------------


def test_a_program_can_tell_that_the_cards_are_simulated() -> None:
    runtime = ctypes.CDLL("libascendcl.so")
    sentence = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(runtime, "ascend_sim_stand_in"))).decode()
    assert "simulated" in sentence
    assert not hasattr(runtime, "work_on"), "the stand-in's own functions must not be found by other libraries"


def test_there_are_two_cards_of_the_named_chip() -> None:
    assert npu.device_count() == 2
    assert [npu.get_device_name(i) for i in range(2)] == ["Ascend910B4", "Ascend910B4"]
    assert npu.get_device_properties(1).total_memory == 64 * GIB
    assert npu.mem_get_info(0)[1] == 64 * GIB
    assert npu.is_available()
    assert torch.accelerator.current_accelerator() == torch.device("npu")


@pytest.mark.parametrize(("package", "version"), [(0, "8.5.0"), (7, "24.1.0")], ids=["CANN", "driver"])
def test_versions_are_reported(package: int, version: str) -> None:
    found = ctypes.create_string_buffer(128 + 4 * 64 + 128)
    assert cards.preload().aclsysGetCANNVersion(package, found) == 0
    assert found.value.decode() == version


def test_memory_is_counted_on_the_card_that_holds_it() -> None:
    gc.collect()
    before = [npu.memory_allocated(i) for i in range(2)]
    x = torch.zeros(1 << 20, dtype=torch.uint8, device="npu:1")
    grown = npu.memory_allocated(1) - before[1]
    assert x.numel() <= grown <= x.numel() + 1024, "a block is the tensor's bytes, 32 for padding, in steps of 512"
    assert npu.memory_allocated(0) == before[0]
    del x
    assert npu.memory_allocated(1) == before[1]


def test_the_peak_counts_what_an_operator_needed_in_between() -> None:
    x = torch.ones(1 << 18, device="npu:0")
    npu.reset_peak_memory_stats(0)
    start = npu.memory_allocated(0)
    (x + x).sum()
    assert npu.max_memory_allocated(0) - start >= x.numel() * 4


def test_a_card_that_is_full_says_so_in_torchs_own_words() -> None:
    with pytest.raises(
        torch.OutOfMemoryError, match=r"NPU out of memory\. Tried to allocate 80\.00 GiB \(NPU 0; 64\.00"
    ):
        torch.empty(80 * GIB, dtype=torch.uint8, device="npu:0")
    most = torch.empty(60 * GIB, dtype=torch.uint8, device="npu:0")
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 8\.00 GiB"):
        torch.empty(8 * GIB, dtype=torch.uint8, device="npu:0")
    assert torch.empty(8 * GIB, dtype=torch.uint8, device="npu:1").numel() == 8 * GIB, "the other card has room"
    del most
    npu.empty_cache()
    assert torch.empty(8 * GIB, dtype=torch.uint8, device="npu:0").numel() == 8 * GIB


def test_a_card_that_is_not_there_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"107001|[Ii]nvalid device"):
        torch.empty(1, device="npu:5")


def test_streams_and_events_run_on_their_card() -> None:
    stream = npu.Stream(device=1)
    start, end = npu.Event(enable_timing=True), npu.Event(enable_timing=True)
    with npu.stream(stream):
        assert npu.current_stream().device == torch.device("npu:1")
        start.record()
        y = torch.ones(3, device="npu:1") * 2
        end.record()
    stream.synchronize()
    assert end.query()
    assert start.elapsed_time(end) >= 0
    assert y.tolist() == [2, 2, 2]


def test_pinned_memory_is_torch_npus() -> None:
    pinned = drawn(4, 4).pin_memory()
    assert pinned.is_pinned()
    assert not drawn(4, 4).is_pinned()
    assert same_bits(pinned.to("npu:1", non_blocking=True), pinned)


# --- random numbers --------------------------------------------------------------------------------------------------


def test_a_generators_numbers_repeat_and_are_not_the_cpus() -> None:
    generator = torch.Generator("npu:0").manual_seed(7)
    first = torch.randn(64, generator=generator, device="npu:0").cpu()
    state = generator.get_state()
    second = torch.randn(64, generator=generator, device="npu:0").cpu()
    assert not torch.equal(first, second)
    generator.set_state(state)
    assert torch.equal(torch.randn(64, generator=generator, device="npu:0").cpu(), second)
    assert torch.equal(torch.randn(64, generator=generator.manual_seed(7), device="npu:0").cpu(), first)
    assert not torch.equal(torch.randn(64, generator=torch.Generator().manual_seed(7)), first)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(64, device="npu:1"),
        lambda: torch.randint(1000, (64,), device="npu:1"),
        lambda: torch.randperm(64, device="npu:1"),
        lambda: F.dropout(torch.ones(64, device="npu:1")),
        lambda: torch.multinomial(torch.ones(64, device="npu:1"), 32),
        lambda: torch.ones(64, device="npu:1").bernoulli_(0.5),
        lambda: torch.ones(64, device="npu:1").exponential_(),
        lambda: torch.normal(torch.ones(64, device="npu:1"), 1.0),
    ],
    ids=["rand", "randint", "randperm", "dropout", "multinomial", "bernoulli_", "exponential_", "normal"],
)
def test_a_cards_own_stream_is_seeded_moves_on_and_leaves_the_cpus_alone(draw: Callable[[], torch.Tensor]) -> None:
    npu.init()  # before that there are no generators
    npu.manual_seed_all(3)
    cpu_state = torch.get_rng_state()
    offset = npu.default_generators[1].get_offset()
    first, second = draw().cpu(), draw().cpu()
    assert npu.default_generators[1].get_offset() == offset + 2 * kernels.PHILOX_STEP
    assert not torch.equal(first, second)
    npu.manual_seed_all(3)
    assert torch.equal(draw().cpu(), first)
    assert torch.equal(torch.get_rng_state(), cpu_state)


# --- copies and views ------------------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[torch.Tensor, str], torch.Tensor]] = {
    "to the card": lambda x, on: x.to(on),
    "transposed": lambda x, on: x.to(on).t().contiguous(),
    "every other column": lambda x, on: x.to(on)[:, ::2].clone(),
    "to another dtype": lambda x, on: x.to(on).to(torch.bfloat16),
    "from a strided CPU tensor": lambda x, on: x.t().to(on),
    "from another dtype on the CPU": lambda x, on: x.to(torch.float16).to(on, torch.float32),
    "into a part": lambda x, on: torch.zeros(6, 8).to(on).index_copy_(0, torch.arange(3).to(on), x.to(on)[:3]),
    "into a strided part": lambda x, on: torch.zeros(12, 8).to(on)[::2].copy_(x.to(on)),
    "by a broadcast": lambda x, on: torch.zeros(6, 8).to(on).copy_(x.to(on)[0]),
    "of a complex conjugate": lambda x, on: torch.view_as_real(
        torch.view_as_complex(x.to(on).reshape(6, 4, 2)).conj().resolve_conj()
    ),
    "of an imaginary part": lambda x, on: torch.view_as_complex(x.to(on).reshape(6, 4, 2)).conj().imag.clone(),
    "over the other card": lambda x, on: x.to("cpu" if on == "cpu" else "npu:1").to(on),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_have_the_cpus_bits(copy: Callable[[torch.Tensor, str], torch.Tensor]) -> None:
    x = drawn(6, 8)
    assert same_bits(copy(x, "npu:0"), copy(x, "cpu"))


def test_views_share_the_cards_memory() -> None:
    x = torch.zeros(4, 4, device="npu:0")
    x[1:3].t()[0].add_(1)
    x.diagonal().mul_(5)
    first, second = x.tensor_split(2)
    assert first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert x.cpu().tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


CHANGES: dict[str, Callable[[str], torch.Tensor]] = {
    "in place, once": lambda on: drawn(5, 5).to(on).add_(drawn(5, 5, seed=1).to(on)),
    "in place, by a number": lambda on: drawn(5, 5).to(on).mul_(3).sub_(1),
    "out=, resized": lambda on: torch.mm(drawn(5, 5).to(on), drawn(5, 5).to(on), out=torch.empty(0).to(on).resize_(0)),
    "out=, strided": lambda on: torch.exp(drawn(4, 4).to(on), out=torch.empty(4, 8).to(on)[:, ::2]),
    "by a mask": lambda on: drawn(5, 5).to(on).masked_fill_(drawn(5, 5, seed=1).to(on) > 0, 9.0),
    "by an index on the CPU": lambda on: drawn(5, 5).to(on).index_put_((torch.tensor([1, 3]),), torch.ones(5).to(on)),
    "as long as the values say": lambda on: drawn(5, 5).to(on).gt(0).nonzero(),
    "by a chosen length": lambda on: drawn(5).to(on).repeat_interleave(torch.tensor([1, 2, 0, 1, 3]).to(on)),
    "several at once": lambda on: torch.stack(torch._foreach_add([drawn(3).to(on), drawn(3, seed=1).to(on)], 2)),
    "the largest, and where": lambda on: torch.cat([part.float() for part in drawn(5, 5).to(on).max(dim=1)]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_results_and_changes_have_the_cpus_bits(change: Callable[[str], torch.Tensor]) -> None:
    assert same_bits(change("npu:0"), change("cpu"))


def test_running_statistics_are_changed_once() -> None:
    layers = {on: torch.nn.BatchNorm2d(3).to(on) for on in ("cpu", "npu:0")}
    for on, layer in layers.items():
        layer(drawn(2, 3, 4, 4).to(on))
    card, cpu = (layers[on].running_mean for on in ("npu:0", "cpu"))
    assert card is not None
    assert cpu is not None
    assert same_bits(card, cpu)
    assert cpu.abs().sum() > 0


# --- refusals --------------------------------------------------------------------------------------------------------

ON_CARD: dict[str, Any] = {"device": "npu:0"}
REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "a layout other than contiguous": (
        lambda: torch.ones(1, 3, 4, 4, **ON_CARD).to(memory_format=torch.channels_last),
        "Only contiguous_format or preserve_format is supported",
    ),
    "a weight on the CPU": (
        lambda: F.conv2d(torch.ones(1, 1, 3, 3, **ON_CARD), torch.ones(1, 1, 2, 2)),
        "Expected all tensors to be on the same device, but got weight is on cpu",
    ),
    "a card and the CPU": (
        lambda: torch.ones(2) + torch.ones(2, **ON_CARD),
        "Expected all tensors to be on the same device. Expected NPU tensor",
    ),
    "two cards": (
        lambda: torch.ones(2, device="npu:1") + torch.ones(2, **ON_CARD),
        "Expected all tensors to be on the same device",
    ),
    "a CPU generator": (
        lambda: torch.randn(2, generator=torch.Generator(), **ON_CARD),
        "Expected a 'npu' device type for generator but found 'cpu'",
    ),
    "a dtype that a user's log shows refused": (
        lambda: torch.ones(3, dtype=torch.float64, **ON_CARD).repeat_interleave(2, dim=0),
        "Tensor self not implemented for DT_DOUBLE, should be in dtype support list",
    ),
    "fused RMSNorm without a weight": (
        lambda: torch.ops.npu.npu_rms_norm(torch.ones(2, 4, **ON_CARD), None),
        "Expected a proper Tensor but got None|got no tensor as 'gamma'",
    ),
    "fused attention with a mask for one row": (
        lambda: attention(mask=torch.zeros(1, 1, 1, 8, dtype=torch.bool, **ON_CARD)),
        "takes an atten_mask of shape BNSS, B1SS, 11SS or SS",
    ),
    "fused attention with an additive mask": (
        lambda: attention(mask=torch.zeros(8, 8, **ON_CARD)),
        "takes a bool or uint8 atten_mask, not torch.float32",
    ),
    "fused attention in float64": (
        lambda: attention(dtype=torch.float64),
        "takes float16, bfloat16 or float32, not torch.float64",
    ),
    "packed attention without lengths": (
        lambda: attention(layout="TND"),
        "the size of actual_seq_qlen and actual_seq_kvlen must be the same",
    ),
    "an operator that nothing computes": (
        lambda: torch.nn.LSTM(4, 3).to("npu:0")(torch.randn(2, 4, **ON_CARD)),
        "would launch a kernel on the simulated card",
    ),
}


def attention(
    mask: torch.Tensor | None = None, dtype: torch.dtype = torch.float32, layout: str = "BNSD"
) -> tuple[torch.Tensor, ...]:
    q = torch.ones(1, 2, 8, 8, dtype=dtype).to("npu:0")
    result: tuple[torch.Tensor, ...] = torch.ops.npu.npu_fusion_attention(q, q, q, 2, layout, atten_mask=mask)
    return result


@pytest.mark.parametrize(("call", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_card_refuses_in_its_own_words_and_goes_on(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match=words):
        call()
    assert (torch.ones(2, **ON_CARD) + 1).tolist() == [2, 2], "the card works after a refusal"


@pytest.mark.filterwarnings("ignore:Device do not support double")
def test_float64_asked_for_on_a_card_becomes_float32() -> None:
    assert torch.ones(2, **ON_CARD).to(torch.float64).dtype == torch.float32
    assert torch.ones(2, dtype=torch.float64).to("npu:0").dtype == torch.float64, "moving it keeps it"


# --- values ----------------------------------------------------------------------------------------------------------


def opinfo() -> dict[str, Any]:
    """PyTorch's own operator samples, by name.

    torch.testing needs expecttest for unittest classes that nothing here uses.
    """
    stand_in: Any = types.ModuleType("expecttest")
    stand_in.TestCase, stand_in.assert_expected_inline = unittest.TestCase, None
    sys.modules.setdefault("expecttest", stand_in)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return {f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db}


SAMPLED = """
    abs add addmm addmv all amax any argmax argsort baddbmm bmm cat ceil chunk clamp clone complex conj cos
    cumsum diag diff div.no_rounding_mode einsum eq exp expand fft.fft fft.irfft fill flatten flip floor gather ge
    index_add index_put index_select isnan log log_softmax logical_not logsumexp masked_fill masked_select
    matmul max.reduction_with_dim mean mm mul nan_to_num narrow neg nn.functional.adaptive_avg_pool2d
    nn.functional.avg_pool2d nn.functional.batch_norm nn.functional.conv1d nn.functional.conv2d
    nn.functional.conv_transpose2d nn.functional.embedding nn.functional.gelu nn.functional.group_norm
    nn.functional.interpolate.bilinear nn.functional.interpolate.nearest nn.functional.layer_norm
    nn.functional.linear nn.functional.mse_loss nn.functional.pad.constant
    nn.functional.pixel_shuffle nn.functional.relu nn.functional.scaled_dot_product_attention nn.functional.silu
    nn.functional.softplus nn.functional.unfold nonzero norm outer permute pow prod reciprocal repeat
    repeat_interleave reshape roll round rsqrt rsub scatter select sigmoid sin slice softmax sort split sqrt square
    squeeze stack std sub sum take_along_dim tanh tile topk transpose tril triu unbind unflatten unfold unique
    unsqueeze var view where
"""
"""Entries of PyTorch's list that pipelines use."""


def plain_samples(entry: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """At most three samples whose tensors are dense, without dropout and channels-last, which a card refuses."""
    for sample in itertools.islice(entry.sample_inputs("cpu", torch.float32), 3):
        arguments, options = (sample.input, *sample.args), sample.kwargs
        tensors = [x for x in pytree.tree_leaves((arguments, options)) if isinstance(x, torch.Tensor)]
        dense = all(x.layout is torch.strided and not x.is_nested for x in tensors)
        if dense and not options.get("dropout_p") and options.get("memory_format") is not torch.channels_last:
            yield arguments, options


def on_card(tree: Any) -> Any:
    return pytree.tree_map(lambda x: x.detach().to("npu:0") if isinstance(x, torch.Tensor) else x, tree)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's samples also use what it has deprecated
def test_pytorchs_own_samples_agree_with_the_cpu() -> None:
    entries = opinfo()
    different, compared = [], 0
    kernels.disagreements.clear()
    for name in SAMPLED.split():
        for arguments, options in plain_samples(entries[name]):
            moved, moved_options = on_card((arguments, options))
            expected = pytree.tree_leaves(entries[name].op(*arguments, **options))
            found = pytree.tree_leaves(entries[name].op(*moved, **moved_options))
            for card, cpu in zip(found, expected, strict=True):
                if not isinstance(cpu, torch.Tensor):
                    continue
                compared += 1
                close = torch.allclose(card.cpu(), cpu, rtol=1e-5, atol=1e-6, equal_nan=True)
                if card.device.type != "npu" or card.dtype != cpu.dtype or card.shape != cpu.shape or not close:
                    different.append((name, [tuple(x.shape) for x in arguments if isinstance(x, torch.Tensor)]))
    assert not different
    # In evaluation the CPU gives empty saved statistics, which nothing reads; torch_npu allocates them.
    assert {name for name, _ in kernels.disagreements} == {"aten::native_batch_norm"}
    assert compared > 300


def tiny_transformer() -> Any:
    import diffusers

    build_transformer: Any = diffusers.SD3Transformer2DModel

    torch.manual_seed(0)
    return build_transformer(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=16,
        caption_projection_dim=32,
        pooled_projection_dim=16,
        out_channels=4,
        pos_embed_max_size=16,
        dual_attention_layers=(0,),
        qk_norm=None,
    ).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_transformer_has_the_cpus_bits_and_runs_nothing_on_the_cpu(
    dtype: torch.dtype, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_transformer().to(dtype)
    inputs = [drawn(2, 4, 8, 8, dtype=dtype), drawn(2, 5, 16, seed=1, dtype=dtype), drawn(2, 16, seed=2, dtype=dtype)]
    time = torch.tensor([500.0, 10.0])
    with torch.no_grad():
        expected = model(*inputs, time, return_dict=False)[0]
        model.to("npu:1")
        with kernels.counted() as counts:
            found = model(*(x.to("npu:1") for x in inputs), time.to("npu:1"), return_dict=False)[0]
    assert found.device == torch.device("npu:1")
    assert same_bits(found, expected)
    assert counts["npu::npu_fusion_attention_v3"] == 3, "two blocks, and once more in the first"
    assert "fall back to run on the CPU" not in "".join(capfd.readouterr())


def test_training_on_a_card_gives_the_cpus_weights() -> None:
    weights = {}
    for on in ("cpu", "npu:0"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 1)).to(on)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            model(drawn(4, 8, seed=step).to(on)).square().mean().backward()
            optimizer.step()
        weights[on] = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.testing.assert_close(weights["npu:0"].cpu(), weights["cpu"], rtol=1e-6, atol=1e-7)


def test_attention_goes_the_way_that_torch_npu_chooses() -> None:
    q = drawn(1, 2, 16, 8).to("npu")
    see = torch.ones(16, 16, dtype=torch.bool, device="npu")
    for mask, fused_calls in ((None, 1), (see, 1), (torch.zeros(16, 16, device="npu"), 0)):
        with kernels.counted() as counts:
            F.scaled_dot_product_attention(q, q, q, attn_mask=mask)
        assert counts["npu::npu_fusion_attention_v3"] == fused_calls
        assert (counts["aten::matmul"] == 2) == (not fused_calls), "an additive mask takes the decomposed form"


@pytest.mark.parametrize("case", ["plain", "causal", "mask", "grouped"])
def test_attention_on_a_card_is_the_cpus(case: str) -> None:
    q, k = drawn(2, 4, 6, 8), drawn(2, 2 if case == "grouped" else 4, 6, 8, seed=1)
    see = drawn(2, 1, 6, 6, seed=2) > -0.5
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "causal": {"is_causal": True},
        "mask": {"attn_mask": see},
        "grouped": {"enable_gqa": True},
    }
    options = cases[case]
    expected = F.scaled_dot_product_attention(q, k, k, **options)
    found = F.scaled_dot_product_attention(q.to("npu"), k.to("npu"), k.to("npu"), **on_card(options))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-6)


# --- fused operators, against formulas in float64 --------------------------------------------------------------------

X, Y, W, B = drawn(2, 6, 8), drawn(2, 6, 8, seed=1), drawn(8, seed=2), drawn(8, seed=3)
IMAGE, PER_CHANNEL = drawn(2, 4, 3, 3), drawn(4, seed=4)
ANGLES = drawn(1, 6, 8, seed=5)
EPS = 1e-3


def normed(x: torch.Tensor) -> torch.Tensor:
    return x / (x * x).mean(-1, keepdim=True).add(EPS).sqrt()


def erf_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def tanh_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def group_normed(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    grouped = x.reshape(x.shape[0], groups, -1)
    centred = grouped - grouped.mean(-1, keepdim=True)
    scaled = centred / centred.square().mean(-1, keepdim=True).add(EPS).sqrt()
    return scaled.reshape(x.shape) * weight[:, None, None]


def other_half(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((-x[..., 4:], x[..., :4]), -1)


def neighbour(x: torch.Tensor) -> torch.Tensor:
    turned = torch.empty_like(x)
    turned[..., ::2], turned[..., 1::2] = -x[..., 1::2], x[..., ::2]
    return turned


ops = torch.ops.npu
FUSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "rms_norm": (lambda x, w: ops.npu_rms_norm(x, w, EPS)[0], lambda x, w: normed(x) * w, (X, W)),
    "rms_norm over two axes": (
        lambda x, w: ops.npu_rms_norm(x, w, EPS)[0],
        lambda x, w: x / (x * x).mean((-2, -1), keepdim=True).add(EPS).sqrt() * w,
        (X, drawn(6, 8, seed=6)),
    ),
    "rms_norm, 1/rms": (
        lambda x, w: ops.npu_rms_norm(x, w, EPS)[1],
        lambda x, _: 1 / (x * x).mean(-1, keepdim=True).add(EPS).sqrt(),
        (X, W),
    ),
    "gemma_rms_norm": (lambda x, w: ops.npu_gemma_rms_norm(x, w, EPS)[0], lambda x, w: normed(x) * (1 + w), (X, W)),
    "add_rms_norm": (
        lambda x, y, w: ops.npu_add_rms_norm(x, y, w, EPS)[0],
        lambda x, y, w: normed(x + y) * w,
        (X, Y, W),
    ),
    "add_rms_norm, sum": (lambda x, y, w: ops.npu_add_rms_norm(x, y, w)[2], lambda x, y, _: x + y, (X, Y, W)),
    "layer_norm_eval": (
        lambda x, w, b: ops.npu_layer_norm_eval(x, [8], w, b, EPS),
        lambda x, w, b: (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, correction=0).add(EPS).sqrt() * w + b,
        (X, W, B),
    ),
    "group_norm_silu": (
        lambda x, w: ops.npu_group_norm_silu(x, w, torch.zeros_like(w), 2, EPS)[0],
        lambda x, w: group_normed(x, w, 2) / (1 + torch.exp(-group_normed(x, w, 2))),
        (IMAGE, PER_CHANNEL),
    ),
    "group_norm_swish": (
        lambda x, w: ops.npu_group_norm_swish(x, 2, w, torch.zeros_like(w), EPS, 2.0)[0],
        lambda x, w: group_normed(x, w, 2) / (1 + torch.exp(-2 * group_normed(x, w, 2))),
        (IMAGE, PER_CHANNEL),
    ),
    "geglu, tanh by default": (
        lambda x: ops.npu_geglu(x)[0],
        lambda x: x[..., :4] * tanh_gelu(x[..., 4:]),
        (X,),
    ),
    "geglu, erf": (lambda x: ops.npu_geglu(x, -1, 0)[0], lambda x: x[..., :4] * erf_gelu(x[..., 4:]), (X,)),
    "geglu, left": (
        lambda x: ops.npu_geglu(x, -1, 1, activate_left=True)[0],
        lambda x: x[..., 4:] * tanh_gelu(x[..., :4]),
        (X,),
    ),
    "swiglu": (ops.npu_swiglu, lambda x: x[..., :4] / (1 + torch.exp(-x[..., :4])) * x[..., 4:], (X,)),
    "silu": (ops.npu_silu, lambda x: x / (1 + torch.exp(-x)), (X,)),
    "mish": (ops.npu_mish, lambda x: x * torch.tanh(torch.log1p(torch.exp(x))), (X,)),
    "fast_gelu": (ops.npu_fast_gelu, lambda x: x / (1 + torch.exp(-1.702 * x)), (X,)),
    "gelu, erf": (ops.npu_gelu, erf_gelu, (X,)),
    "gelu, tanh": (lambda x: ops.npu_gelu(x, approximate="tanh"), tanh_gelu, (X,)),
    "rotary_mul, halves": (
        lambda x, a: ops.npu_rotary_mul(x, a.cos(), a.sin()),
        lambda x, a: x * a.cos() + other_half(x) * a.sin(),
        (X[None], ANGLES[None]),
    ),
    "rotary_mul, interleaved": (
        lambda x, a: ops.npu_rotary_mul(x, a.cos(), a.sin(), "interleave"),
        lambda x, a: x * a.cos() + neighbour(x) * a.sin(),
        (X[None], ANGLES[None]),
    ),
    "scaled_masked_softmax": (
        lambda x: ops.npu_scaled_masked_softmax(x, (x > 1).bool(), 0.5, False),  # noqa: FBT003 - its schema
        lambda x: torch.softmax((x / 2).masked_fill(x > 1, -1e4), -1),
        (drawn(1, 1, 32, 32),),
    ),
    "linear": (ops.npu_linear, lambda x, w, b: x @ w.T + b, (X[0], drawn(8, 8, seed=7), B)),
    "bmmV2": (lambda x, y: ops.npu_bmmV2(x, y, []), lambda x, y: x @ y, (X, Y.mT.contiguous())),
    "confusion_transpose": (
        lambda x: ops.npu_confusion_transpose(x, [1, 0, 2], [6, 16], True),  # noqa: FBT003 - its schema
        lambda x: x.permute(1, 0, 2).reshape(6, 16),
        (X,),
    ),
}


@pytest.mark.parametrize(("run", "formula", "inputs"), FUSED.values(), ids=FUSED)
def test_a_fused_operator_is_its_formula(
    run: Callable[..., Any], formula: Callable[..., Any], inputs: tuple[torch.Tensor, ...]
) -> None:
    found = run(*(x.to("npu") for x in inputs))
    expected = formula(*(x.double() for x in inputs))
    assert found.device.type == "npu"
    torch.testing.assert_close(found.cpu().double(), expected, rtol=2e-6, atol=2e-6)


def test_fused_rms_norm_rounds_once() -> None:
    x, w = drawn(64, 32, dtype=torch.bfloat16), drawn(32, seed=1, dtype=torch.bfloat16)
    found = torch.ops.npu.npu_rms_norm(x.to("npu"), w.to("npu"), EPS)[0].cpu()
    once = (normed(x.double()) * w.double()).bfloat16()
    twice = normed(x.double()).bfloat16() * w
    assert (found != once).float().mean() < 0.001, "float32 inside moves a tie at most here and there"
    assert (found != twice).float().mean() > 0.05


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "SBH"])
@pytest.mark.parametrize("mask", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("shift", [False, True], ids=["no shift", "shift"])
def test_fused_attention_is_its_formula_in_every_layout(layout: str, mask: bool, shift: bool) -> None:  # noqa: FBT001
    q, k, v = (drawn(2, 2, 5, 4, seed=i) for i in range(3))
    hide = (drawn(5, 5, seed=3) > 0.3) & ~torch.eye(5, dtype=torch.bool) if mask else None
    pse = drawn(2, 2, 5, 5, seed=4) if shift else None
    scores = q.double() @ k.double().mT + (0 if pse is None else pse.double())
    scores = scores * 0.3
    expected = torch.softmax(scores if hide is None else scores.masked_fill(hide, -math.inf), -1) @ v.double()

    def laid_out(x: torch.Tensor) -> torch.Tensor:
        return {
            "BNSD": lambda: x,
            "BSND": lambda: x.transpose(1, 2),
            "BSH": lambda: x.transpose(1, 2).flatten(2),
            "SBH": lambda: x.permute(2, 0, 1, 3).flatten(2),
        }[layout]()

    result = torch.ops.npu.npu_fusion_attention(
        *(laid_out(x).contiguous().to("npu") for x in (q, k, v)),
        2,
        layout,
        pse=None if pse is None else pse.to("npu"),
        atten_mask=None if hide is None else hide.to("npu"),
        scale=0.3,
    )[0]
    torch.testing.assert_close(result.cpu().double(), laid_out(expected), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("mode", "before", "after"), [(0, 1, 0), (2, 0, 0), (3, 0, 0), (4, 1, 1)])
def test_sparse_modes_hide_their_band(mode: int, before: int, after: int) -> None:
    q, k, v = drawn(1, 1, 3, 4), drawn(1, 1, 5, 4, seed=1), drawn(1, 1, 5, 4, seed=2)
    end = 0 if mode in {0, 2} else 2
    row, column = torch.arange(3)[:, None] + end, torch.arange(5)[None, :]
    hide = column > row if mode in {2, 3} else (column > row + after) | (column < row - before)
    scores = (q.double() @ k.double().mT).masked_fill(hide, -math.inf)
    mask = torch.ones(2048, 2048, dtype=torch.bool).triu(1).to("npu") if mode else None
    result = torch.ops.npu.npu_fusion_attention(
        *(x.to("npu") for x in (q, k, v)),
        1,
        "BNSD",
        atten_mask=mask,
        pre_tockens=before,
        next_tockens=after,
        sparse_mode=mode,
    )[0]
    torch.testing.assert_close(result.cpu().double(), torch.softmax(scores, -1) @ v.double(), rtol=2e-6, atol=2e-6)


# --- processes -------------------------------------------------------------------------------------------------------

LOSING = """
import torch, torch_npu
x = torch.ones(4, 4).to("npu")
for turn in range(5):
    print("turn", turn, (x @ x).cpu()[0, 0].item(), flush=True)
"""
HEARTBEAT = "The task scheduler loses the heartbeat"


@pytest.mark.parametrize("queue", ["0", "1"], ids=["launched at once", "launched on torch_npu's queue"])
def test_a_lost_card_ends_the_work_in_torch_npus_words(queue: str) -> None:
    ended = run_python(LOSING, {"ASCEND_SIM_LOSE_CARD_AFTER": "3", "TASK_QUEUE_ENABLE": queue})
    assert ended.stdout.splitlines()[-2:] == ["turn 0 4.0", "turn 1 4.0"]
    assert ended.returncode == 1
    assert "error code is 507010" in ended.stderr
    assert HEARTBEAT in ended.stderr
    assert "simulated card 0 was lost at operator launch 3" in ended.stderr


def test_everything_that_works_on_a_lost_card_fails_and_the_other_card_works() -> None:
    code = """
import torch, torch_npu
from tests.ascend_sim import cards
x, other = torch.ones(4, 4).to("npu"), torch.ones(4, device="npu:1")
work = {
    "launch": lambda: x + x, "values alone": lambda: x.nonzero(), "strided copy": lambda: x.t().contiguous(),
    "to the CPU": lambda: x.cpu(), "to the card": lambda: torch.ones(3).to("npu"),
    "memory": lambda: torch.empty(1 << 28, device="npu:0"), "synchronisation": lambda: torch.npu.synchronize(0),
}
def answers(call):
    try:
        call()
    except RuntimeError as error:
        return "507010" in str(error)
    return "works"
with cards.lost(0):
    print([answers(call) for call in work.values()], answers(lambda: other + other))
print([answers(call) for call in work.values()])
with cards.lost_at_launch(2, count=2):
    print([answers(work["launch"]) for _ in range(3)])
print(answers(work["launch"]))
"""
    ended = run_python(code, {"TASK_QUEUE_ENABLE": "0"})
    assert ended.stdout.splitlines()[-4:] == [
        f"{[True] * 7} works",
        str(["works"] * 7),
        str(["works", True, True]),
        "works",
    ], ended.stderr


@pytest.mark.parametrize(
    ("variables", "count", "name"),
    [
        ({"ASCEND_SIM_DEVICES": "0"}, 0, ""),
        ({"ASCEND_SIM_DEVICES": "4", "ASCEND_RT_VISIBLE_DEVICES": "1,3,9,2", "ASCEND_SIM_SOC": "Ascend910B2"}, 2, "B2"),
    ],
    ids=["no card", "two of four are visible"],
)
def test_a_child_has_the_cards_that_its_variables_name(variables: dict[str, str], count: int, name: str) -> None:
    code = """
import importlib.util, sys, torch
assert importlib.util.find_spec("torch_npu")  # as libraries ask before they import it
import torch_npu
print("cards", torch.npu.device_count(), torch.npu.is_available())
if torch.npu.is_available():
    print(torch.npu.get_device_name(0))
    print("sum", (torch.ones(3, device="npu:1") * 2).sum().item(), torch.npu.mem_get_info(0)[1] >> 20)
    print("of the project:", [name for name in sys.modules if name.split(".")[0] == "harness"])
else:
    torch.ops.npu.npu_rms_norm(torch.ones(2, 4), torch.ones(4))
"""
    ended = run_python(code, {**variables, "ASCEND_SIM_HBM_MB": "512"})
    assert f"cards {count} {count > 0}" in ended.stdout, ended.stderr
    if count:
        assert ended.returncode == 0, ended.stderr
        assert name in ended.stdout
        assert "sum 6.0 512" in ended.stdout
        assert "of the project: []" in ended.stdout, "the simulated card's values must not be the product's"
    else:
        assert "Could not run 'npu::npu_rms_norm' with arguments from the 'CPU' backend" in ended.stderr


def test_without_its_variable_nothing_is_simulated_and_a_hidden_sitecustomize_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the hidden one')\n", encoding="utf-8")
    path = f"{Path(cards.__file__).parent / 'site'}{os.pathsep}{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"
    ended = run_python(
        "import sys; print('tests.ascend_sim' in sys.modules); import torch, torch_npu",
        {"ASCEND_SIM_DEVICES": None, "PYTHONPATH": path},
    )
    assert ended.stdout.splitlines()[:2] == ["the hidden one", "False"]
    assert "ImportError" in ended.stderr, "torch_npu cannot be imported without CANN"


# --- building --------------------------------------------------------------------------------------------------------

BUILD = (
    "import importlib.util, sys; sys.path.insert(0, '.'); from tests.ascend_sim import build; print(build.libraries())"
)


def built_by(tmp_path: Path, **variables: str | None) -> subprocess.CompletedProcess[str]:
    return run_python(BUILD, {"ASCEND_SIM_DEVICES": None, "ASCEND_SIM_CACHE": str(tmp_path / "cache"), **variables})


def test_building_twice_at_once_leaves_one_complete_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: built_by(tmp_path), range(2)))
    folders = {ended.stdout.strip() for ended in done}
    assert [ended.returncode for ended in done] == [0, 0], [ended.stderr for ended in done]
    assert len(folders) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [Path(folders.pop()).name]
    libraries = {path.name for path in next((tmp_path / "cache").iterdir()).glob("*.so")}
    assert libraries == {f"lib{name}.so" for name in build.LIBRARIES}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PATH": ""}, "no C compiler (cc, gcc or clang) on PATH=''"),
        ({"CC": "no-such-compiler"}, "no C compiler (CC=no-such-compiler)"),
        ({"CC": "/bin/false"}, "ended with 1"),
        ({"PYTHONPATH": "."}, "no torch_npu on sys.path"),
    ],
    ids=["no compiler", "a wrong compiler", "a failing compiler", "no wheel"],
)
def test_a_simulation_that_cannot_be_built_says_what_is_missing(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    ended = built_by(tmp_path, **variables)
    assert ended.returncode == 1
    assert "SimulationUnavailable: Ascend cards cannot be simulated" in ended.stderr
    assert words in ended.stderr
    assert not list(tmp_path.glob("cache/*")), "nothing half-built stays"


def test_the_libraries_are_built_anew_for_another_compiler_or_wheel(tmp_path: Path) -> None:
    compiler, wheel = build.find_compiler(), build.find_wheel()
    other = tmp_path / "torch_npu" / "lib" / "libtorch_npu.so"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another")
    keys = {build.key(compiler, wheel), build.key([*compiler, "-v"], wheel), build.key(compiler, other)}
    assert len(keys) == 3
    assert build.key(compiler, wheel) in keys


def test_every_operator_that_the_wheel_looks_up_is_exported() -> None:
    names = build.operator_names(build.find_wheel().read_bytes())
    library = ctypes.CDLL("libopapi.so")
    assert {"aclnnAdd", "aclnnGelu", "aclnnFlashAttentionScoreV3"} & set(names)
    assert len(names) > 800
    assert [n for n in names if not hasattr(library, n) or not hasattr(library, f"{n}GetWorkspaceSize")] == []
