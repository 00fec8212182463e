"""Values of the vision-language model and of the connector behind it: hashed noise of chosen strength."""

from __future__ import annotations

import math

from harness.models.tiny_deepgen_random.draws import Doubles, bell
from harness.models.tiny_deepgen_random.layout import connector_shapes, vlm_shapes

# Residual branches are weak enough that 36 layers of them neither drown the words nor grow without bound; queries and
# keys are strong enough that attention picks tokens instead of averaging over all of them.
_VLM_STRENGTHS = (
    ("q_proj", 1.0),
    ("k_proj", 1.0),
    ("o_proj", 0.3),
    ("attn.proj", 0.4),
    ("down_proj", 0.3),
    ("", 1.0),
)
_VLM_SMALL = 0.1

_CONNECTOR_STRENGTHS = (
    ("projector_2", 1.5),
    ("projector_3", 1.5),
    ("out_proj", 0.7),
    ("fc2", 0.7),
    ("", 1.0),
)
_CONNECTOR_SMALL = 0.05


def vlm_tensors() -> dict[str, Doubles]:
    """Values of ``layout.vlm_shapes``."""
    return {name: _vlm_noise(name, shape) for name, shape in vlm_shapes().items()}


def connector_tensors() -> dict[str, Doubles]:
    """Values of ``layout.connector_shapes``; neither projector is zero, as both are in an untrained original."""
    return {name: _connector_noise(name, shape) for name, shape in connector_shapes().items()}


def _vlm_noise(name: str, shape: tuple[int, ...]) -> Doubles:
    key = f"vlm/{name}"
    if "embed_tokens" in name:
        return bell(key, shape, 1.0)
    if len(shape) == 1:
        return _offset(name) + bell(key, shape, _VLM_SMALL)
    strength = next(value for fragment, value in _VLM_STRENGTHS if fragment in name)
    return bell(key, shape, strength / math.sqrt(math.prod(shape[1:])))


def _connector_noise(name: str, shape: tuple[int, ...]) -> Doubles:
    key = f"connector/{name}"
    if name == "meta_queries":
        return bell(key, shape, 1.0)
    if len(shape) == 1:
        return _offset(name) + bell(key, shape, _CONNECTOR_SMALL)
    strength = next(value for fragment, value in _CONNECTOR_STRENGTHS if fragment in name)
    return bell(key, shape, strength / math.sqrt(shape[1]))


def _offset(name: str) -> float:
    """One-dimensional weights belong to norms and lie around 1; biases lie around 0."""
    return 1.0 if name.endswith(".weight") else 0.0
