"""Which modules of a pipeline compute a formula that is known, and the same formula in the type of the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contracts import activations_of
from harness.formulas import EPSILONS, Formula, Gelu, GroupNorm, LayerNorm, RmsNorm
from harness.records.investigation import Side
from harness.run.worker.places import module_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from harness.contracts import Pipeline

_GELU_FORMS = {
    "GELUActivation": "erf",
    "GELUTanh": "tanh",
    "PytorchGELUTanh": "tanh",
    "NewGELUActivation": "tanh",
    "FastGELUActivation": "tanh",
    "QuickGELUActivation": "quick",
}
"""Classes of transformers, by what they compute."""
_ROUNDS_FIRST = {"Qwen2RMSNorm", "Qwen2_5_VLRMSNorm", "LlamaRMSNorm", "T5LayerNorm", "MistralRMSNorm", "Qwen3RMSNorm"}
"""Classes of transformers that round before they multiply by their weight."""


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A module with its formula, and where its input and its output pass."""

    path: str
    """Component and path of the module."""
    formula: Formula
    """What it ought to compute."""
    source: tuple[str, Side]
    """Place of its input."""
    target: tuple[str, Side]
    """Place of its output."""
    typed: Callable[[Any], Any]
    """The same in the type of a tensor on the CPU, by torch's own operators."""


def specifications(pipeline: Pipeline) -> Iterator[Specification]:
    """All modules with a formula, by what they are and how they are set now."""
    forms = activations_of(pipeline)
    for path, module in module_paths(pipeline.modules).items():
        if path in forms:
            gelu, source, target = forms[path], (f"{path}.fc1", Side.OUTPUT), (f"{path}.fc2", Side.INPUT)
            yield _specified(path, _gelu(gelu), source, target)
        elif (known := _known(module)) is not None:
            inner = f"{path}.proj" if hasattr(module, "proj") else path
            source = (inner, Side.OUTPUT if inner != path else Side.INPUT)
            yield _specified(path, known, source, (path, Side.OUTPUT))


def _specified(
    path: str, known: tuple[Formula, Callable[[Any], Any]], source: tuple[str, Side], target: tuple[str, Side]
) -> Specification:
    formula, typed = known
    return Specification(path=path, formula=formula, source=source, target=target, typed=typed)


def _known(module: Any) -> tuple[Formula, Callable[[Any], Any]] | None:
    import torch

    kind = type(module).__name__
    if kind == "GELU":
        return _gelu({"none": "erf", "tanh": "tanh"}[module.approximate])
    if kind in _GELU_FORMS:
        return _gelu(_GELU_FORMS[kind])
    if isinstance(module, torch.nn.GroupNorm):
        return _group_norm(module)
    if isinstance(module, torch.nn.LayerNorm) and len(module.normalized_shape) == 1:
        return _layer_norm(module)
    if kind.endswith("RMSNorm") and getattr(module, "bias", None) is None:
        return _rms_norm(module)
    return None


def _gelu(form: Any) -> tuple[Formula, Callable[[Any], Any]]:
    import torch

    def typed(x: Any) -> Any:
        if form == "quick":
            return x * torch.sigmoid(1.702 * x)
        return torch.nn.functional.gelu(x, approximate="tanh" if form == "tanh" else "none")

    return Gelu(form), typed


def _layer_norm(module: Any) -> tuple[Formula, Callable[[Any], Any]]:
    import torch

    weight, bias = _host(module.weight), _host(module.bias)

    def typed(x: Any) -> Any:
        return torch.nn.functional.layer_norm(x, tuple(module.normalized_shape), weight, bias, module.eps)

    return LayerNorm(eps=module.eps, weight=_array(weight), bias=_array(bias)), typed


def _group_norm(module: Any) -> tuple[Formula, Callable[[Any], Any]]:
    import torch

    weight, bias = _host(module.weight), _host(module.bias)

    def typed(x: Any) -> Any:
        return torch.nn.functional.group_norm(x, module.num_groups, weight, bias, module.eps)

    formula = GroupNorm(eps=module.eps, groups=module.num_groups, weight=_array(weight), bias=_array(bias))
    return formula, typed


def _rms_norm(module: Any) -> tuple[Formula, Callable[[Any], Any]] | None:
    weight = _host(getattr(module, "weight", None))
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    dtype = "float32" if weight is None else str(weight.dtype).removeprefix("torch.")
    first = type(module).__name__ in _ROUNDS_FIRST or _is_of_diffusers(module)
    if eps is None:
        eps = EPSILONS[dtype]

    def typed(x: Any) -> Any:
        y = x.float()
        y = y * (y.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        if weight is None:
            return y.to(x.dtype)
        return weight * y.to(x.dtype) if first else (weight.float() * y).to(x.dtype)

    return RmsNorm(eps=eps, weight=_array(weight), dtype=dtype, rounds_first=first), typed


def _is_of_diffusers(module: Any) -> bool:
    return type(module).__module__.startswith("diffusers.")


def _host(parameter: Any) -> Any:
    return None if parameter is None else parameter.detach().to("cpu")


def _array(parameter: Any) -> NDArray[np.float64] | None:
    return None if parameter is None else np.asarray(parameter.double().numpy(), dtype=np.float64)
