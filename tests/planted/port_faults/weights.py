"""Weights that were read or fused wrongly, and memory that was read in another layout."""

from __future__ import annotations

from typing import Any

import torch

from .catalogue import fault
from .reach import ONE, after, blocks, wrap


@fault(
    "lora-twice", "vllm-project/vllm-ascend#11221", "transformer.transformer_blocks.*.attn.to_q", causes=("weights",)
)
def _(pipe: Any) -> None:
    """A change of rank 4 and 3 % of the norm is in the query weights once more than in the reference."""
    for number, block in enumerate(blocks(pipe)):
        weight = block.attn.to_q.weight
        source = torch.Generator().manual_seed(number)
        down, up = (torch.randn(weight.shape[0], 4, generator=source) for _ in range(2))
        change = (up @ down.T).to(weight.dtype)
        with torch.no_grad():
            weight.add_(change * (0.03 * weight.norm() / change.norm()))


@fault(
    "weight-transposed",
    "vllm-project/vllm-ascend#4058",
    f"transformer.transformer_blocks.{ONE}.attn.to_q",
    causes=("weight_transposed",),
)
def _(pipe: Any) -> None:
    """One square weight is read transposed by its kernel."""
    linear = blocks(pipe)[ONE].attn.to_q
    linear.forward = lambda x: torch.nn.functional.linear(x, linear.weight.T, linear.bias)


@fault(
    "channels-last-misread",
    "pytorch/pytorch#62594",
    "vae.decoder.up_blocks.1.resnets.0.norm1",
    causes=("input_layout",),
)
def _(pipe: Any) -> None:
    """One GroupNorm of the decoder reads channels-last memory as if it were channels-first."""
    norm = pipe.vae.decoder.up_blocks[1].resnets[0].norm1
    wrap(norm, "forward", lambda forward: lambda x: forward(x.permute(0, 2, 3, 1).contiguous().reshape(x.shape)))


@fault(
    "index-overflow", "huggingface/diffusers#3643", "vae.decoder.up_blocks.2.upsamplers.0", causes=("index_wrapped",)
)
def _(pipe: Any) -> None:
    """The last quarter of what an upsampling gives is read from its beginning, as after an index that wraps."""

    def wrapped(y: Any) -> Any:
        flat = y.reshape(-1).clone()
        flat[-(flat.numel() // 4) :] = flat[: flat.numel() // 4]
        return flat.reshape(y.shape)

    after(pipe.vae.decoder.up_blocks[2].upsamplers[0], wrapped)


@fault(
    "qkv-order",
    "query and key projections read from a fused weight in another order",
    f"transformer.transformer_blocks.{ONE}.attn.to_*",
    causes=("exchanged",),
)
def _(pipe: Any) -> None:
    """Query and key projections of one block are exchanged."""
    attn = blocks(pipe)[ONE].attn
    query, key = attn.to_q, attn.to_k
    query.forward, key.forward = (
        lambda x: torch.nn.functional.linear(x, key.weight, key.bias),
        lambda x: torch.nn.functional.linear(x, query.weight, query.bias),
    )


@fault(
    "upsampling-bilinear",
    "nearest and bilinear upsampling mixed up",
    "vae.decoder.up_blocks.0.upsamplers.0*",
    causes=("interpolation_mode",),
)
def _(pipe: Any) -> None:
    """One upsampling of the decoder is bilinear where the model's is nearest."""
    upsampler = pipe.vae.decoder.up_blocks[0].upsamplers[0]

    def forward(x: Any, *_given: Any, **_options: Any) -> Any:
        larger = torch.nn.functional.interpolate(x.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
        return upsampler.conv(larger.to(x.dtype))

    upsampler.forward = forward


@fault("padding-reflect", "zero and reflecting padding mixed up", "vae.decoder.conv_in", causes=("padding_mode",))
def _(pipe: Any) -> None:
    """The decoder's first convolution reflects at the border where the model pads with zeros."""
    conv = pipe.vae.decoder.conv_in

    def forward(x: Any) -> Any:
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return torch.nn.functional.conv2d(padded, conv.weight, conv.bias)

    conv.forward = forward
