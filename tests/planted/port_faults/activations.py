"""Activation functions of another form."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .catalogue import fault
from .reach import ONE, blocks

_REPORT = "documentation of torch_npu.npu_gelu"


def _erf(block: Any) -> None:
    for mlp in (block.ff, block.ff_context):
        if mlp is not None:
            mlp.net[0].gelu = functional.gelu


@fault("gelu-erf", _REPORT, "transformer.transformer_blocks.*.ff*", causes=("gelu_erf",))
def _(pipe: Any) -> None:
    """GELU by erf where the checkpoint says tanh, in the MLPs of all blocks."""
    for block in blocks(pipe):
        _erf(block)


@fault("gelu-erf-one", _REPORT, f"transformer.transformer_blocks.{ONE}.ff*", causes=("gelu_erf",))
def _(pipe: Any) -> None:
    """GELU by erf where the checkpoint says tanh, in the MLPs of one block."""
    _erf(blocks(pipe)[ONE])


def _connector(pipe: Any, activation: Any) -> None:
    for layer in pipe.connector_module.connector.layers:
        layer.mlp.forward = lambda x, mlp=layer.mlp: mlp.fc2(activation(mlp.fc1(x)))


@fault("gelu-erf-connector", "kyutai-labs/pocket-tts#278", "connector.connector.layers.*.mlp*", causes=("gelu_erf",))
def _(pipe: Any) -> None:
    """GELU by erf where the checkpoint says tanh, in the connector."""
    _connector(pipe, functional.gelu)


@fault(
    "gelu-quick-connector",
    "documentation of torch_npu.npu_fast_gelu",
    "connector.connector.layers.*.mlp*",
    causes=("gelu_quick",),
)
def _(pipe: Any) -> None:
    """x sigmoid(1.702 x) in the connector's MLPs."""
    _connector(pipe, lambda x: x * torch.sigmoid(1.702 * x))


@fault(
    "gelu-clipped",
    "an activation with a table that ends",
    f"transformer.transformer_blocks.{ONE}.ff*",
    causes=("clipped",),
)
def _(pipe: Any) -> None:
    """GELU answers 2 for all that is larger, in one MLP, as a table that ends there."""
    layer = blocks(pipe)[ONE].ff.net[0]
    layer.gelu = lambda x: functional.gelu(x, approximate="tanh").clamp(max=2.0)
