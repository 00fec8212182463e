"""The reference kernels behind the real torch_npu: unmodified libraries fail on the CPU without them, work with them.

Runs where torch_npu can be imported. Registration is global, so everything happens in fresh interpreters, which print
what they saw as JSON on their last line; warnings are errors there.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.command_line import patience_seconds

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch_npu") is None, reason="torch_npu is not installed")

START = """
import json, warnings
import torch
import torch_npu
from harness.errors import NotCovered, RunError
from harness.run.worker import npu_operators

seen = {}

def outcome_of(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""

LIBRARIES = """
from diffusers import SD3Transformer2DModel
from diffusers.models import activations, attention_processor, normalization
from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn
warnings.simplefilter("error")
torch.manual_seed(0)

def words(result):
    return result if isinstance(result, str) else "worked"

x = torch.randn(3, 5, 16)
halves = torch.randn(2, 5, 4, 8).bfloat16()
norm = normalization.RMSNorm(16, 1e-6)
torch.nn.init.uniform_(norm.weight, 0.5, 2)
gate = activations.GEGLU(16, 8)
attention = attention_processor.Attention(16, heads=2, dim_head=8, processor=attention_processor.AttnProcessorNPU())
transformer = SD3Transformer2DModel(
    sample_size=8, patch_size=1, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
    joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=64, out_channels=4, pos_embed_max_size=96,
    dual_attention_layers=(0,), qk_norm="rms_norm",
).eval()
inputs = torch.randn(1, 4, 8, 8), torch.randn(1, 7, 32), torch.randn(1, 64), torch.tensor([1])

def native_npu(mask=None):
    with attention_backend("_native_npu"):
        return dispatch_attention_fn(halves, halves, halves, attn_mask=mask)

def sd3():
    with torch.inference_mode():
        return transformer(*inputs, return_dict=False)[0]

places = {
    "RMSNorm": lambda: norm(x),
    "RMSNorm without weight": lambda: normalization.RMSNorm(16, 1e-6, elementwise_affine=False)(x),
    "GEGLU": lambda: gate(x),
    "_native_npu": native_npu,
    "AttnProcessorNPU": lambda: attention.bfloat16()(x.bfloat16()),
    "SD3": sd3,
}
"""

CURED = """
seen["before"] = {name: outcome_of(place) for name, place in places.items()}
seen["before"] = {name: words(result) for name, result in seen["before"].items()}
calls = npu_operators.answer_by_reference()
after = {name: outcome_of(place) for name, place in places.items()}
seen["after"] = {name: words(result) for name, result in after.items()}
calls.take()
fused = sd3()
seen["calls"] = calls.take()
seen["norms"] = sum(isinstance(each, normalization.RMSNorm) for each in transformer.modules())
mask = torch.tensor([[True, True, True, False, False], [True] * 5])
masked = native_npu(mask[:, None, None])
heads = halves.transpose(1, 2).float()
shown = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask[:, None, None])
seen["masked attention apart"] = (masked.transpose(1, 2).float() - shown).abs().max().item()

x.requires_grad_()
gate(norm(x)).square().sum().backward()
gradient, x.grad = x.grad, None
for module in (normalization, activations):
    module.is_torch_npu_available = lambda: False
seen["RMSNorm apart"] = (after["RMSNorm"] - norm(x)).abs().max().item()
seen["GEGLU apart"] = (after["GEGLU"] - gate(x)).abs().max().item()
value, gelu = gate.proj(x).chunk(2, dim=-1)
tanh = value * torch.nn.functional.gelu(gelu, approximate="tanh")
seen["GEGLU apart from tanh"] = (after["GEGLU"] - tanh).abs().max().item()
seen["SD3 apart"] = (fused - sd3()).abs().max().item()
value, gelu = gate.proj(norm(x)).chunk(2, dim=-1)
(value * torch.nn.functional.gelu(gelu, approximate="tanh")).square().sum().backward()
seen["gradients apart"] = ((gradient - x.grad).abs().max() / x.grad.abs().max()).item()
print(json.dumps(seen))
"""

REGISTERED = """
import inspect, time
from harness import plugins

start = time.perf_counter()
calls = npu_operators.answer_by_reference()
seen["seconds"] = time.perf_counter() - start
seen["kernels"], seen["covered"] = plugins.names("kernels"), calls.covered
seen["arguments"], seen["parameters"], seen["unlike defaults"] = {}, {}, []
for name in calls.covered:
    schema = getattr(torch.ops.npu, name).default._schema
    seen["arguments"][name] = [argument.name for argument in schema.arguments]
    parameters = inspect.signature(plugins.load("kernels", name).kernel).parameters
    seen["parameters"][name] = list(parameters)
    seen["unlike defaults"] += [
        f"{name} {argument.name}"
        for argument in schema.arguments
        if argument.has_default_value() and argument.default_value != parameters[argument.name].default
    ]
query = torch.ones(1, 2, 3, 4)
seen["npu_mish"] = outcome_of(lambda: torch_npu.npu_mish(torch.ones(2)))
seen["npu_mish with gradient"] = outcome_of(lambda: torch_npu.npu_mish(torch.ones(2, requires_grad=True)))
seen["overload"] = outcome_of(lambda: torch.ops.npu.npu_format_cast.Tensor(torch.ones(2), torch.ones(2)))
seen["dropout"] = outcome_of(lambda: torch_npu.npu_fusion_attention(query, query, query, 2, "BNSD", keep_prob=0.5))
seen["refused calls"] = calls.take()
seen["positional"] = torch_npu.npu_geglu(torch.tensor([2.0, 1.0]), -1, 0, True)[0].tolist()
seen["by name"] = torch.ops.npu.npu_geglu(activate_left=True, approximate=0, input=torch.tensor([2.0, 1.0]))[0].tolist()
seen["results"] = [
    [list(each.shape) if hasattr(each, "shape") else each for each in function(query, query, query, 2, "BNSD")]
    for function in (torch_npu.npu_fusion_attention, torch_npu.npu_fusion_attention_v3)
]
seen["taken"], seen["taken again"] = calls.take(), calls.take()
seen["twice"] = outcome_of(npu_operators.answer_by_reference)
seen["hidden too late"] = outcome_of(npu_operators.hide_torch_npu)
print(json.dumps(seen))
"""

FOREIGN = """
from harness import plugins

class Older:
    FORMULA = SOURCE = "x"
    @staticmethod
    def kernel(input, gamma, *, later="default"):
        return input, torch.tensor(later == "default")

class Stranger(Older):
    @staticmethod
    def kernel(input, needed):
        return input

plugins.names = lambda kind: ["npu_rms_norm", "not_an_operator"]
plugins.load = lambda kind, name: Older
seen["covered"] = npu_operators.answer_by_reference().covered
one = torch.ones(2)
seen["left out"] = torch_npu.npu_rms_norm(one, one)[1].item()
seen["the default"] = torch_npu.npu_rms_norm(one, one, 1e-6)[1].item()
seen["another value"] = outcome_of(lambda: torch_npu.npu_rms_norm(one, one, epsilon=0.5))
npu_operators._libraries.clear()
plugins.load = lambda kind, name: Stranger
seen["stranger"] = outcome_of(npu_operators.answer_by_reference)
print(json.dumps(seen))
"""

HIDDEN = """
import json, os, sys
from harness.run.worker import npu_operators

npu_operators.hide_torch_npu()
import importlib.util
import torch
import accelerate.utils, diffusers.utils, transformers.utils
from diffusers.models.activations import GEGLU
from diffusers.models.normalization import RMSNorm

seen = {
    "spec": str(importlib.util.find_spec("torch_npu")),
    "diffusers": diffusers.utils.is_torch_npu_available(),
    "transformers": transformers.utils.is_torch_npu_available(),
    "accelerate": accelerate.utils.is_npu_available(),
    "torch.npu": hasattr(torch, "npu"),
}
torch.manual_seed(0)
x, gate = torch.randn(3, 16), GEGLU(16, 8)
seen["RMSNorm"] = list(RMSNorm(16, 1e-6)(x).shape)
value, gelu = gate.proj(x).chunk(2, dim=-1)
seen["GEGLU by erf"] = torch.equal(gate(x), value * torch.nn.functional.gelu(gelu))
try:
    npu_operators.answer_by_reference()
except Exception as error:
    seen["reference"] = f"{type(error).__name__}: {error}"
npu_operators.hide_torch_npu()
print(json.dumps(seen))
"""


def child(*parts: str) -> dict[str, Any]:
    """What a fresh interpreter saw; it inherits the environment, which is that of the NPU session."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)],
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.fixture(scope="module")
def cured() -> dict[str, Any]:
    return child(START, LIBRARIES, CURED)


@pytest.fixture(scope="module")
def registered() -> dict[str, Any]:
    return child(START, REGISTERED)


@pytest.fixture(scope="module")
def hidden() -> dict[str, Any]:
    return child(HIDDEN)


# --- cured -----------------------------------------------------------------------------------------------------------

OPERATORS = {
    "RMSNorm": "npu_rms_norm",
    "RMSNorm without weight": "npu_rms_norm",
    "GEGLU": "npu_geglu",
    "_native_npu": "npu_fusion_attention",
    "AttnProcessorNPU": "npu_fusion_attention",
    "SD3": "npu_rms_norm",
}


@pytest.mark.parametrize("place", OPERATORS)
def test_a_call_site_fails_without_the_kernels_and_works_with_them(cured: dict[str, Any], place: str) -> None:
    assert cured["before"][place].startswith("NotImplementedError: ")
    assert f"'npu::{OPERATORS[place]}' with arguments from the 'CPU' backend" in cured["before"][place]
    assert cured["after"][place] == "worked"


def test_the_fused_norm_agrees_with_the_plain_branch(cured: dict[str, Any]) -> None:
    assert cured["RMSNorm apart"] < 1e-6
    assert cured["SD3 apart"] < 1e-5


def test_the_fused_gate_differs_from_the_plain_branch_by_tanh_for_erf(cured: dict[str, Any]) -> None:
    assert cured["GEGLU apart from tanh"] < 1e-6
    assert 1e-5 < cured["GEGLU apart"] < 5e-3


def test_a_mask_hides_in_the_backend_what_it_hides_in_torch(cured: dict[str, Any]) -> None:
    assert cured["masked attention apart"] < 2**-7


def test_calls_are_counted_one_for_each_norm_of_a_forward(cured: dict[str, Any]) -> None:
    assert cured["norms"] > 0
    assert cured["calls"] == {"npu_rms_norm": cured["norms"]}


def test_gradients_pass_without_a_warning(cured: dict[str, Any]) -> None:
    assert cured["gradients apart"] < 1e-5


# --- registered ------------------------------------------------------------------------------------------------------


def test_every_kernel_is_registered_and_takes_every_argument_of_its_schema(registered: dict[str, Any]) -> None:
    assert registered["covered"] == registered["kernels"]
    for name, arguments in registered["arguments"].items():
        assert registered["parameters"][name][: len(arguments)] == arguments
    assert registered["unlike defaults"] == []


@pytest.mark.parametrize("place", ["npu_mish", "npu_mish with gradient"])
def test_an_operator_without_a_kernel_is_named(registered: dict[str, Any], place: str) -> None:
    message = registered[place]
    assert message.startswith("NotCovered: npu::npu_mish was called with CPU tensors and is not covered")
    assert "npu_rms_norm" in message
    assert "npu_ops: hidden" in message
    assert "harness/kernels/npu_mish.py" in message


def test_an_overload_without_a_kernel_is_named(registered: dict[str, Any]) -> None:
    assert registered["overload"].startswith("NotCovered: npu::npu_format_cast.Tensor was called")
    assert "harness/kernels/npu_format_cast.py" in registered["overload"]


def test_a_refused_form_keeps_its_words_and_is_not_counted(registered: dict[str, Any]) -> None:
    assert registered["dropout"].startswith("NotCovered: npu_fusion_attention: argument keep_prob is 0.5")
    assert registered["refused calls"] == {}


def test_arguments_are_bound_by_name(registered: dict[str, Any]) -> None:
    assert registered["positional"] == registered["by name"] == [pytest.approx(1.9545, abs=1e-4)]


def test_results_have_the_number_and_shapes_of_the_schema(registered: dict[str, Any]) -> None:
    assert registered["results"] == [
        [[1, 2, 3, 4], [1, 2, 3, 8], [1, 2, 3, 8], [0], 0, 0, 0],
        [[1, 2, 3, 4], [1, 2, 3, 8], [1, 2, 3, 8], [0], [1], [1]],
    ]


def test_counts_are_taken_once(registered: dict[str, Any]) -> None:
    assert registered["taken"] == {"npu_fusion_attention": 1, "npu_fusion_attention_v3": 1, "npu_geglu": 2}
    assert registered["taken again"] == {}


def test_a_second_registration_and_a_late_hiding_are_refused(registered: dict[str, Any]) -> None:
    assert registered["twice"].startswith("RunError: the reference kernels answer already")
    assert registered["hidden too late"].startswith("RunError: torch_npu cannot be hidden: it is imported")


def test_a_kernel_that_lacks_an_argument_answers_for_its_default_only() -> None:
    seen = child(START, FOREIGN)
    assert seen["covered"] == ["npu_rms_norm"]
    assert seen["left out"] is seen["the default"] is True
    assert seen["another value"].startswith("NotCovered: npu_rms_norm: argument epsilon is 0.5; its reference kernel")
    assert seen["stranger"].startswith("RunError: the reference kernel npu_rms_norm asks for needed, which npu::")


# --- hidden ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["diffusers", "transformers", "accelerate", "torch.npu"])
def test_no_library_finds_what_is_hidden(hidden: dict[str, Any], library: str) -> None:
    assert hidden["spec"] == "None"
    assert hidden[library] is False


def test_diffusers_takes_its_plain_branches(hidden: dict[str, Any]) -> None:
    assert hidden["RMSNorm"] == [3, 16]
    assert hidden["GEGLU by erf"] is True


def test_what_is_hidden_is_not_answered(hidden: dict[str, Any]) -> None:
    assert hidden["reference"].startswith("RunError: torch_npu was hidden")
