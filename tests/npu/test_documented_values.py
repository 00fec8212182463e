"""In the documented setting the simulated cards round as Ascend's documents say, where they can be told not to, too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
import torch_npu

from tests.ascend_sim import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

npu: Any = torch_npu.npu
HF32_ERROR = 2.0**-12
"""Unit roundoff of 11 explicit bits of mantissa."""


@pytest.fixture(autouse=True)
def documented() -> Iterator[None]:
    with values.rounded("documented"):
        yield


@pytest.fixture
def switches() -> Iterator[Any]:
    """The NPU's switches, given back as they were."""
    before = npu.conv.allow_hf32, npu.matmul.allow_hf32, npu.are_compatible_impl_enabled()
    yield npu
    npu.conv.allow_hf32, npu.matmul.allow_hf32 = before[:2]
    npu.use_compatible_impl(before[2])


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def hf32(x: torch.Tensor) -> torch.Tensor:
    """Round to 11 explicit bits of mantissa by arithmetic in float64: another way than the simulation's bits."""
    mantissa, exponent = torch.frexp(x.double())
    return torch.ldexp(torch.round(torch.ldexp(mantissa, torch.tensor(12))), exponent - 12)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    difference = found.cpu().double() - expected.double()
    return float(difference.norm() / expected.double().norm())


# --- HF32 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        (1 + 2**-12, 1.0),
        (1 + 3 * 2**-12, 1 + 2**-10),
        (1 + 2**-12 + 2**-23, 1 + 2**-11),
        (-(1 + 2**-12 + 2**-23), -(1 + 2**-11)),
        (2 - 2**-23, 2.0),
        (1 + 2**-11, 1 + 2**-11),
        (0.0, 0.0),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
    ],
    ids=["tie to even, down", "tie to even, up", "above a tie", "negative", "next power", "exact", "0", "inf", "-inf"],
)
def test_hf32_rounds_to_nearest_and_ties_to_even(number: float, rounded: float) -> None:
    assert values.as_hf32(torch.tensor([number])).item() == rounded


def test_hf32_keeps_nan_and_agrees_with_arithmetic() -> None:
    assert values.as_hf32(torch.tensor([math.nan])).isnan().all()
    x = drawn(4096) * torch.logspace(-20, 20, 4096)
    assert torch.equal(values.as_hf32(x).double(), hf32(x))
    assert not torch.equal(values.as_hf32(x), x)


CONVOLUTIONS: dict[str, tuple[Callable[..., torch.Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "1d": (F.conv1d, (2, 8, 16), (4, 8, 3)),
    "2d": (F.conv2d, (2, 8, 9, 9), (4, 8, 3, 3)),
    "3d": (F.conv3d, (1, 8, 4, 5, 5), (4, 8, 2, 3, 3)),
    "transposed": (F.conv_transpose2d, (2, 8, 6, 6), (8, 4, 3, 3)),
    "one channel": (F.conv2d, (2, 1, 9, 9), (4, 1, 3, 3)),
    "in groups": (lambda x, w, b: F.conv2d(x, w, b, groups=2), (2, 8, 9, 9), (4, 4, 3, 3)),
}


@pytest.mark.parametrize(("run", "of_input", "of_weight"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_float32_convolution_reads_hf32_unless_it_is_switched_off(
    run: Callable[..., torch.Tensor], of_input: tuple[int, ...], of_weight: tuple[int, ...], switches: Any
) -> None:
    x, weight, bias = drawn(*of_input), drawn(*of_weight, seed=1), drawn(4, seed=2)
    exact = run(x.double(), weight.double(), bias.double())
    by_hf32 = run(hf32(x), hf32(weight), bias.double())
    assert switches.conv.allow_hf32, "it is on by default"
    found = run(x.to("npu"), weight.to("npu"), bias.to("npu"))
    assert relative_error(found, by_hf32) < 1e-6
    assert HF32_ERROR / 10 < relative_error(found, exact) < 10 * HF32_ERROR
    switches.conv.allow_hf32 = False
    assert relative_error(run(x.to("npu"), weight.to("npu"), bias.to("npu")), exact) < 1e-6


X, W, C = drawn(12, 32), drawn(32, 12, seed=1), drawn(12, 12, seed=2)
PRODUCTS: dict[str, Callable[..., torch.Tensor]] = {
    "mm": lambda x, w, c: torch.mm(x, w) + 0 * c,
    "matmul": lambda x, w, c: (x[None] @ w)[0] + 0 * c,
    "bmm": lambda x, w, c: torch.bmm(x[None], w[None])[0] + 0 * c,
    "addmm": lambda x, w, c: torch.addmm(c, x, w, beta=0.5, alpha=2.0),
    "baddbmm": lambda x, w, c: torch.baddbmm(c[None], x[None], w[None])[0],
    "linear": lambda x, w, c: F.linear(x, w.T, c[0]),
    "linear without a bias": lambda x, w, c: F.linear(x[None], w.T)[0] + 0 * c,
    "mv": lambda x, w, c: torch.mv(x, w[:, 0]) + 0 * c,
    "addmv": lambda x, w, c: torch.addmv(c[0], x, w[:, 0]),
    "dot": lambda x, w, c: torch.dot(x[0], w[:, 0]) + 0 * c,
}


@pytest.mark.parametrize("run", PRODUCTS.values(), ids=PRODUCTS)
def test_a_float32_product_reads_hf32_only_where_it_is_switched_on(
    run: Callable[..., torch.Tensor], switches: Any
) -> None:
    exact = run(X.double(), W.double(), C.double())
    by_hf32 = run(hf32(X), hf32(W), C.double())
    assert not switches.matmul.allow_hf32, "it is off by default"
    assert relative_error(run(X.to("npu"), W.to("npu"), C.to("npu")), exact) < 1e-6
    switches.matmul.allow_hf32 = True
    found = run(X.to("npu"), W.to("npu"), C.to("npu"))
    assert relative_error(found, by_hf32) < 1e-6
    assert relative_error(found, exact) > HF32_ERROR / 20


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_other_dtypes_are_not_read_as_hf32(dtype: torch.dtype, switches: Any) -> None:
    switches.matmul.allow_hf32 = True
    x, w, image, taps = drawn(8, 16), drawn(16, 8, seed=1), drawn(1, 8, 6, 6), drawn(4, 8, 3, 3, seed=2)
    tolerance = {torch.float64: 1e-14, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    x, w, image, taps = (t.to(dtype) for t in (x, w, image, taps))
    for found, exact in (
        (x.to("npu") @ w.to("npu"), x.double() @ w.double()),
        (F.conv2d(image.to("npu"), taps.to("npu")), F.conv2d(image.double(), taps.double())),
    ):
        assert found.dtype == dtype
        assert relative_error(found, exact) < tolerance


# --- sums in another order -------------------------------------------------------------------------------------------


def test_sums_differ_from_the_cpus_in_their_last_bits_only(switches: Any) -> None:
    switches.conv.allow_hf32 = False
    x, w, q = drawn(64, 256), drawn(256, 64, seed=1), drawn(1, 2, 64, 16, seed=2)
    image, taps = drawn(1, 16, 12, 12), drawn(8, 16, 3, 3, seed=3)
    sums: dict[str, Callable[[str], torch.Tensor]] = {
        "product": lambda on: x.to(on) @ w.to(on),
        "convolution": lambda on: F.conv2d(image.to(on), taps.to(on)),
        "attention": lambda on: F.scaled_dot_product_attention(q.to(on), q.to(on), q.to(on)),
    }
    for name, run in sums.items():
        found, cpu = run("npu").cpu(), run("cpu")
        assert not torch.equal(found, cpu), name
        assert relative_error(found, cpu) < 1e-6, name
        assert torch.equal(run("npu").cpu(), found), f"{name} repeats"
        with values.rounded("exact"):
            assert torch.equal(run("npu").cpu(), cpu), name


def test_a_product_in_bfloat16_is_rounded_once() -> None:
    x, w = drawn(16, 512, dtype=torch.bfloat16), drawn(512, 16, seed=1, dtype=torch.bfloat16)
    once = (x.double() @ w.double()).bfloat16()
    assert ((x.to("npu") @ w.to("npu")).cpu() != once).float().mean() < 0.01


@pytest.mark.parametrize("operator", ["npu_fusion_attention", "npu_fusion_attention_v3"])
def test_both_attention_operators_keep_to_the_mask(operator: str) -> None:
    q, k, v = (drawn(1, 2, 6, 8, seed=i) for i in range(3))
    hide = drawn(6, 6, seed=3) > 0
    hide[2] = True
    scores = (q.double() @ k.double().mT * 0.5).masked_fill(hide, -math.inf)
    expected = torch.softmax(scores, -1).nan_to_num(0.0) @ v.double()
    run = getattr(torch.ops.npu, operator)
    found = run(*(x.to("npu") for x in (q, k, v)), 2, "BNSD", atten_mask=hide.to("npu"), scale=0.5)[0]
    assert relative_error(found, expected) < 1e-6


# --- GELU and norms --------------------------------------------------------------------------------------------------


def test_gelu_takes_the_tanh_form_unless_compatible_implementations_are_chosen(switches: Any) -> None:
    x = drawn(64)
    erf, tanh = (F.gelu(x, approximate=form) for form in ("none", "tanh"))
    assert torch.equal(F.gelu(x.to("npu")).cpu(), tanh)
    assert torch.equal(F.gelu(x.to("npu"), approximate="tanh").cpu(), tanh)
    switches.use_compatible_impl(is_enable=True)
    assert torch.equal(F.gelu(x.to("npu")).cpu(), erf)
    switches.use_compatible_impl(is_enable=False)
    with values.rounded("exact"):
        assert torch.equal(F.gelu(x.to("npu")).cpu(), erf)
    assert not torch.equal(erf, tanh)


@pytest.mark.parametrize("name", ["exact", "documented"])
def test_fused_operators_with_a_documented_form_have_it_in_both_settings(name: str) -> None:
    x, weight = drawn(8, 32, dtype=torch.bfloat16), drawn(32, seed=1, dtype=torch.bfloat16)
    with values.rounded(name):
        geglu, normed = (
            torch.ops.npu.npu_geglu(x.to("npu"))[0].cpu(),
            torch.ops.npu.npu_rms_norm(x.to("npu"), weight.to("npu"))[0],
        )
    assert torch.equal(geglu, x[:, :16] * F.gelu(x[:, 16:], approximate="tanh"))
    wide = x.double() / x.double().square().mean(-1, keepdim=True).add(1e-6).sqrt()
    assert (normed.cpu() != (wide * weight.double()).bfloat16()).float().mean() < 0.01


@pytest.mark.parametrize("name", ["exact", "documented"])
def test_random_numbers_come_from_the_cards_own_stream(name: str) -> None:
    with values.rounded(name):
        npu.manual_seed_all(1)
        found = torch.randn(32, device="npu").cpu()
        npu.manual_seed_all(1)
        assert torch.equal(torch.randn(32, device="npu").cpu(), found)
    assert not torch.equal(torch.randn(32, generator=torch.Generator().manual_seed(1)), found)


# --- choosing --------------------------------------------------------------------------------------------------------


def test_a_setting_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ValueError, match=r"no setting 'documentd'; there are exact, documented\. Did you mean 'documented'"
    ):
        values.setting("documentd")


def test_the_variable_chooses_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    x = drawn(16)
    for name, form in (("exact", "none"), ("documented", "tanh"), ("", "none")):
        monkeypatch.setenv(values.VARIABLE, name)
        values.from_environment()
        assert torch.equal(F.gelu(x.to("npu")).cpu(), F.gelu(x, approximate=form)), name
