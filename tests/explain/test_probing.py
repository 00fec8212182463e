"""Modules on inputs that are made to part known causes, where those of a picture do not show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

import harness
from harness.explain.causes import presence
from harness.explain.verdict import explained
from harness.records.explanation import Presence, Trouble
from harness.run.worker.probing import probed, shown_by_probes
from harness.trace_files import read_records
from tests.explain.test_script import replace
from tests.explain.toy import WIDTH, Toy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Model(nn.Module):
    """One module of each formula."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.plain = nn.LayerNorm(48, eps=1e-6), nn.LayerNorm(48, eps=1e-6, elementwise_affine=False)
        self.group, self.rms = nn.GroupNorm(4, 32, eps=1e-6), Qwen2RMSNorm(48, eps=1e-6)
        self.act, self.last = nn.GELU(approximate="tanh"), nn.Linear(48, 48)


PATHS = [f"model.{name}" for name in ("layer", "plain", "group", "rms", "act", "last")]


class Parts:
    """A pipeline of one component."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.model = Model().to(dtype).eval()
        self.modules, self.components = {"model": self.model}, {"denoising": "model"}


def layer_eps(model: Model) -> None:
    norm = model.layer
    replace(norm, lambda x: functional.layer_norm(x, (48,), norm.weight, norm.bias, 1e-5))


def plain_eps(model: Model) -> None:
    replace(model.plain, lambda x: functional.layer_norm(x, (48,), None, None, 1e-7))


def group_eps(model: Model) -> None:
    norm = model.group
    replace(norm, lambda x: functional.group_norm(x, 4, norm.weight, norm.bias, 1e-5))


def rms_eps(model: Model) -> None:
    weight = model.rms.weight

    def forward(x: Any) -> Any:
        single = x.float()
        return weight * (single * (single.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt()).to(x.dtype)

    replace(model.rms, forward)


def gelu_erf(model: Model) -> None:
    replace(model.act, functional.gelu)


def takes_two(model: Model) -> None:
    replace(model.layer, lambda x, scale: x * scale)


def by_formula(model: Model) -> None:
    norm = model.layer

    def forward(x: Any) -> Any:
        single = x.float()
        centred = single - single.mean(-1, keepdim=True)
        normal = centred * (centred.pow(2).mean(-1, keepdim=True) + norm.eps).rsqrt()
        return (normal * norm.weight.float() + norm.bias.float()).to(x.dtype)

    replace(norm, forward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, set()),
        (by_formula, set()),
        (takes_two, set()),
        (layer_eps, {("model.layer", "eps_tenfold")}),
        (plain_eps, {("model.plain", "eps_tenth")}),
        (group_eps, {("model.group", "eps_tenfold")}),
        (rms_eps, {("model.rms", "eps_tenfold")}),
        (gelu_erf, {("model.act", "gelu_erf")}),
    ],
)
def test_a_cause_is_shown_by_inputs_that_are_made_for_it(
    change: Callable[[Model], None], expected: set[tuple[str, str]], dtype: torch.dtype
) -> None:
    parts: Any = Parts(dtype)
    change(parts.model)
    fits = probed(parts, PATHS)
    shown = {
        (fit.path, coefficient.hypothesis)
        for fit in fits
        for coefficient in fit.coefficients
        if not fit.family and presence(coefficient, fit) is Presence.PRESENT
    }
    assert shown == expected
    assert len([fit for fit in fits if not fit.family]) == 5 - (change is takes_two)


def test_a_module_that_the_picture_does_not_need_is_no_answer() -> None:
    parts: Any = Parts(torch.float32)
    layer_eps(parts.model)
    assert probed(parts, ["model.plain"])[0].path == "model.plain"
    assert {fit.path for fit in probed(parts, ["model.plain"]) if not fit.family} == {"model.plain"}
    last = parts.model.last
    forward = in_parts(torch.float16)
    replace(last, lambda x: forward(x, last))
    assert shown_by_probes(parts, ["model.plain"]) == {}


def in_parts(dtype: torch.dtype) -> Callable[[Any, Any], Any]:
    """A linear layer that adds up sixteen parts one after the other, in a type."""

    def forward(x: Any, layer: Any) -> Any:
        total: Any = torch.zeros((), dtype=dtype)
        for one, two in zip(x.float().chunk(16, -1), layer.weight.float().chunk(16, -1), strict=True):
            total = (total.float() + functional.linear(one, two)).to(dtype)
        return (total.float() + layer.bias.float()).to(x.dtype)

    return forward


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("sums", "expected"), [(None, {}), (torch.float32, {}), (torch.float16, {"sums_half": ["model.last"]})]
)
def test_sums_in_float16_show_where_they_are_beyond_it(
    sums: torch.dtype | None, expected: dict[str, list[str]], dtype: torch.dtype
) -> None:
    parts: Any = Parts(dtype)
    layer = parts.model.last
    if sums is not None:
        forward = in_parts(sums)
        replace(layer, lambda x: forward(x, layer))
    assert shown_by_probes(parts, PATHS) == expected


def test_in_float16_itself_nothing_is_said_of_sums() -> None:
    parts: Any = Parts(torch.float16)
    assert shown_by_probes(parts, PATHS) == {}


def half(eps: float | None = None) -> Toy:
    """A toy in bfloat16; with another eps in one norm."""
    toy = Toy()
    toy.denoiser.bfloat16()
    denoise = toy.denoiser.forward
    replace(toy.denoiser, lambda sample, text: denoise(sample.bfloat16(), text.bfloat16()).float())
    norm = toy.denoiser.second.norm
    if eps is not None:
        replace(norm, lambda x: functional.layer_norm(x, (WIDTH,), norm.weight, norm.bias, eps))
    return toy


@pytest.mark.parametrize(
    ("eps", "trouble", "causes"),
    [
        (None, Trouble.FORCED_ALONE, []),
        (1e-4, Trouble.CAUSE, [("denoiser.second.norm", "eps_tenfold", True)]),
    ],
)
def test_what_the_picture_does_not_show_is_found_and_said_apart(
    tmp_path: Path, eps: float | None, trouble: Trouble, causes: list[tuple[str, str, bool]]
) -> None:
    right, wrong = half(), half(eps)
    with harness.trace(right, to=tmp_path / "reference.trace", denoiser="denoiser", steps=[0]):
        right.picture()
    with harness.trace(
        wrong, against=tmp_path / "reference.trace", to=tmp_path / "candidate.trace", denoiser="denoiser"
    ):
        wrong.picture()
    trace, forced = read_records(tmp_path / "candidate.trace")
    assert forced is not None
    said = explained("script", None, trace, forced)
    assert said.trouble is trouble
    assert [(cause.path, cause.hypothesis, cause.probed) for cause in said.causes] == causes
    assert said.culprits == []
