"""Normalisations that are nearly right."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .catalogue import fault
from .reach import ONE, blocks, of_kind, text_model


def _layer_norm(norm: Any, eps: float) -> None:
    norm.forward = lambda x: functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, eps)


@fault(
    "eps-layer-norms", "ml-explore/mlx-examples#1434", "transformer.transformer_blocks.*.norm*", causes=("eps_tenfold",)
)
def _(pipe: Any) -> None:
    """LayerNorm eps 1e-5 for 1e-6 in all of the transformer."""
    for norm in of_kind(pipe.transformer, "LayerNorm"):
        _layer_norm(norm, 1e-5)


@fault(
    "eps-one-layer-norm",
    "ml-explore/mlx-examples#1435",
    f"transformer.transformer_blocks.{ONE}.norm2",
    causes=("eps_tenfold",),
)
def _(pipe: Any) -> None:
    """LayerNorm eps 1e-5 for 1e-6 in one norm of one block."""
    _layer_norm(blocks(pipe)[ONE].norm2, 1e-5)


@fault("eps-text-norms", "mindspore-lab/mindone#219", "vlm.*norm", causes=("eps_tenth",))
def _(pipe: Any) -> None:
    """RMSNorm eps 1e-6 for the checkpoint's 1e-5 in all of the text model: a default instead of the configuration."""
    for norm in of_kind(text_model(pipe), "Qwen2RMSNorm"):
        norm.forward = lambda x, norm=norm: _rms(x, norm.weight, 1e-6)


@fault("eps-decoder-norms", "ml-explore/mlx-examples#1435", "vae.decoder.*norm*", causes=("eps_tenfold",))
def _(pipe: Any) -> None:
    """GroupNorm eps 1e-5 for 1e-6 in all of the decoder."""
    for norm in of_kind(pipe.vae.decoder, "GroupNorm"):
        norm.forward = lambda x, norm=norm: functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, 1e-5)


@fault(
    "eps-of-type", "pytorch/pytorch#189581", "transformer.transformer_blocks.*.attn*.norm_*", causes=("eps_of_type",)
)
def _(pipe: Any) -> None:
    """The eps of the query and key norms is the type's: 7.8e-3 in bfloat16, 1.2e-7 in float32."""
    eps = torch.finfo(pipe.transformer.dtype).eps
    for norm in of_kind(pipe.transformer, "RMSNorm"):
        norm.forward = lambda x, norm=norm: _rms(x, norm.weight, eps)


@fault(
    "weight-before-cast",
    "huggingface/transformers#33133",
    "vlm.*norm",
    causes=("weight_before_cast",),
    types=("bfloat16",),
)
def _(pipe: Any) -> None:
    """RMSNorm multiplies by its weight before the cast to the working type instead of after it."""
    for norm in of_kind(text_model(pipe), "Qwen2RMSNorm"):
        norm.forward = lambda x, norm=norm: (norm.weight.float() * _normal(x, norm.variance_epsilon)).to(x.dtype)


@fault("norm-loses-tail", "intel/llm-scaler#510", "transformer.transformer_blocks.*.norm2", causes=("norm_tail_lost",))
def _(pipe: Any) -> None:
    """LayerNorm over width 80 takes mean and variance of the first 64 only, as a kernel that loses its tail."""

    def forward(x: Any, eps: float) -> Any:
        head = x.float()[..., :64]
        variance = head.var(-1, keepdim=True, unbiased=False)
        return ((x.float() - head.mean(-1, keepdim=True)) * torch.rsqrt(variance + eps)).to(x.dtype)

    for block in blocks(pipe):
        block.norm2.forward = lambda x, norm=block.norm2: forward(x, norm.eps)


@fault(
    "variance-unbiased",
    "differential tests of libraries",
    "transformer.transformer_blocks.*.norm*",
    causes=("variance_unbiased",),
)
def _(pipe: Any) -> None:
    """LayerNorm divides its variance by N - 1 instead of N, in all of the transformer."""

    def forward(x: Any, eps: float) -> Any:
        y = x.float()
        return ((y - y.mean(-1, keepdim=True)) * torch.rsqrt(y.var(-1, keepdim=True, unbiased=True) + eps)).to(x.dtype)

    for norm in of_kind(pipe.transformer, "LayerNorm"):
        norm.forward = lambda x, norm=norm: forward(x, norm.eps)


@fault(
    "variance-unbiased-decoder",
    "differential tests of libraries",
    "vae.decoder.*norm*",
    causes=("variance_unbiased",),
    types=("float32",),
)
def _(pipe: Any) -> None:
    """GroupNorm divides its variance by N - 1 instead of N, in all of the decoder."""

    def forward(x: Any, norm: Any) -> Any:
        grouped = x.float().reshape(x.shape[0], norm.num_groups, -1)
        centred = grouped - grouped.mean(-1, keepdim=True)
        y = (centred * torch.rsqrt(grouped.var(-1, keepdim=True, unbiased=True) + norm.eps)).reshape(x.shape)
        form = (1, -1, *[1] * (x.ndim - 2))
        return (y * norm.weight.float().reshape(form) + norm.bias.float().reshape(form)).to(x.dtype)

    for norm in of_kind(pipe.vae.decoder, "GroupNorm"):
        norm.forward = lambda x, norm=norm: forward(x, norm)


@fault(
    "mean-kept",
    "a norm of another kind under the same name",
    f"transformer.transformer_blocks.{ONE}.norm2",
    causes=("mean_not_subtracted",),
)
def _(pipe: Any) -> None:
    """One LayerNorm does not subtract the mean, as an RMSNorm."""
    norm = blocks(pipe)[ONE].norm2
    norm.forward = lambda x: _normal(x, norm.eps).to(x.dtype)


def _normal(x: Any, eps: float) -> Any:
    y = x.float()
    return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)


def _rms(x: Any, weight: Any, eps: float) -> Any:
    return weight * _normal(x, eps).to(x.dtype)
