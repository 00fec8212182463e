"""Narrower arithmetic than was asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .catalogue import fault
from .reach import of_kind, with_bits


def _linear(module: Any, explicit: int) -> None:
    module.forward = lambda x: functional.linear(
        with_bits(x, explicit), with_bits(module.weight, explicit), module.bias
    )


def _conv(module: Any, explicit: int) -> None:
    own = module._conv_forward
    module.forward = lambda x: own(with_bits(x, explicit), with_bits(module.weight, explicit), module.bias)


@fault("hf32", "Ascend documentation of HF32", "*", causes=("products_hf32",), types=("float32",))
def _(pipe: Any) -> None:
    """Every linear layer and convolution rounds its inputs to HF32."""
    for root in (pipe.transformer, pipe.vae, pipe.lmm, pipe.connector_module):
        for module in of_kind(root, "Linear"):
            _linear(module, 11)
        for module in of_kind(root, "Conv2d"):
            _conv(module, 11)


@fault("hf32-convolutions", "Ascend documentation of HF32", "vae.*", causes=("products_hf32",), types=("float32",))
def _(pipe: Any) -> None:
    """Convolutions of the autoencoder round their inputs to HF32: the default of Ascend cards."""
    for module in of_kind(pipe.vae, "Conv2d"):
        _conv(module, 11)


@fault("tf32-transformer", "pytorch/pytorch#107514", "transformer.*", causes=("products_tf32",), types=("float32",))
def _(pipe: Any) -> None:
    """Every linear layer of the transformer rounds its inputs to TF32."""
    for module in of_kind(pipe.transformer, "Linear"):
        _linear(module, 10)


@fault(
    "sums-in-float16",
    "reduced-precision sums of matrix products",
    "transformer.*",
    causes=("sums_half",),
)
def _(pipe: Any) -> None:
    """Every linear layer of the transformer adds up in float16, in sixteen parts."""

    def forward(x: Any, module: Any) -> Any:
        total: Any = torch.zeros((), dtype=torch.float16)
        for one, two in zip(x.float().chunk(16, -1), module.weight.float().chunk(16, -1), strict=True):
            total = (total.float() + functional.linear(one, two)).half()
        y = total.float()
        return (y if module.bias is None else y + module.bias.float()).to(x.dtype)

    for module in of_kind(pipe.transformer, "Linear"):
        module.forward = lambda x, module=module: forward(x, module)


@fault(
    "one-convolution-half",
    "Ascend/pytorch#125",
    "vae.decoder.up_blocks.2.resnets.0.conv1",
    causes=("products_half",),
    types=("float32",),
)
def _(pipe: Any) -> None:
    """One convolution of the decoder computes in bfloat16."""
    conv, half = pipe.vae.decoder.up_blocks[2].resnets[0].conv1, torch.bfloat16
    conv.forward = lambda x: functional.conv2d(
        x.to(half), conv.weight.to(half), conv.bias.to(half), padding=conv.padding
    ).to(x.dtype)
