"""Faults of ports of other pipelines: three each in small random SD3, Flux, SDXL and Qwen-Image; harmless changes."""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .catalogue import benign_of, fault_of
from .reach import after, of_kind, through, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def _rms(norm: Any, eps: float) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        made = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps)
        weighted: Tensor = norm.weight * made.to(x.dtype)
        return weighted.to(x.dtype)

    return forward


def _attention_core(attentions: list[Any], core: Callable[..., Tensor]) -> None:
    """Another function in the place of the fused kernel, while these attentions work."""
    for attention in attentions:
        wrap(attention, "forward", lambda forward: _with_core(forward, core))


def _with_core(forward: Callable[..., Any], core: Callable[..., Tensor]) -> Callable[..., Any]:
    def attended(*given: Any, **options: Any) -> Any:
        own = functional.scaled_dot_product_attention
        functional.scaled_dot_product_attention = partial(core, own)
        try:
            return forward(*given, **options)
        finally:
            functional.scaled_dot_product_attention = own

    return attended


# --- Stable Diffusion 3 ----------------------------------------------------------------------------------------------


@fault_of("sd3", "sd3-gelu-erf", "documentation of torch_npu.npu_gelu", "transformer.*.ff*", causes=("gelu_erf",))
def _(pipe: Any) -> None:
    """GELU by erf where the checkpoint says tanh, in the transformer's MLPs."""
    for gelu in of_kind(pipe.transformer, "GELU"):
        gelu.gelu = functional.gelu


@fault_of("sd3", "sd3-shift-twice", "huggingface/diffusers#13243", "scheduler*", causes=("shift_again",))
def _(pipe: Any) -> None:
    """The table of noise levels is shifted once more."""
    scheduler = pipe.scheduler

    def make(original: Any) -> Any:
        def set_timesteps(
            num_inference_steps: Any = None,
            device: Any = None,
            sigmas: Any = None,
            mu: Any = None,
            timesteps: Any = None,
        ) -> None:
            original(num_inference_steps, device, sigmas, mu, timesteps)
            levels = scheduler.sigmas[:-1]
            levels = scheduler.shift * levels / (1 + (scheduler.shift - 1) * levels)
            scheduler.sigmas = torch.cat([levels, torch.zeros(1)])
            scheduler.timesteps = levels * scheduler.config.num_train_timesteps

        return set_timesteps

    wrap(scheduler, "set_timesteps", make)


@fault_of(
    "sd3", "sd3-decoder-shift", "huggingface/diffusers#14671", "vae.decode*", "pipeline*", causes=("shift_factor",)
)
def _(pipe: Any) -> None:
    """The autoencoder's shift factor is taken off again in front of the decoder, as if it were never added."""
    shift = pipe.vae.config.shift_factor
    wrap(pipe.vae, "decode", lambda decode: lambda z, *given, **options: decode(z - shift, *given, **options))


# --- Flux ------------------------------------------------------------------------------------------------------------


@fault_of(
    "flux",
    "flux-rope-halves",
    "RoPE of halves instead of neighbours, a common slip",
    "transformer.*attn*",
    causes=("rope_interleaved",),
)
def _(pipe: Any) -> None:
    """Rotary embedding turns the halves of a head, with tables that are made for neighbours."""
    code: Any = sys.modules[type(pipe.transformer).__module__]
    own = code.apply_rotary_emb
    code.apply_rotary_emb = lambda x, tables, **options: own(x, tables, **options | {"use_real_unbind_dim": -2})


@fault_of(
    "flux",
    "flux-rope-tables-bfloat16",
    "tables of a rotary embedding that are cast early",
    "transformer.pos_embed",
    causes=("rope_table_half", "rounded_bfloat16"),
)
def _(pipe: Any) -> None:
    """The tables of the rotary embedding are bfloat16."""
    after(pipe.transformer.pos_embed, lambda tables: tuple(through(table, torch.bfloat16) for table in tables))


@fault_of(
    "flux", "flux-qk-norm-eps", "ml-explore/mlx-examples#1435", "transformer.*attn.norm_*", causes=("eps_tenfold",)
)
def _(pipe: Any) -> None:
    """RMSNorm eps 1e-5 for 1e-6 on the queries and keys of all blocks."""
    for norm in of_kind(pipe.transformer, "RMSNorm"):
        norm.forward = _rms(norm, 1e-5)


# --- Stable Diffusion XL ---------------------------------------------------------------------------------------------


@fault_of("sdxl", "sdxl-group-norm-eps", "ml-explore/mlx-examples#1435", "unet.*norm*", causes=("eps_tenfold",))
def _(pipe: Any) -> None:
    """GroupNorm eps ten times too large in all ResNet blocks of the UNet."""
    for block in of_kind(pipe.unet, "ResnetBlock2D"):
        for norm in (block.norm1, block.norm2):
            norm.forward = lambda x, norm=norm: functional.group_norm(
                x, norm.num_groups, norm.weight, norm.bias, norm.eps * 10
            )


@fault_of(
    "sdxl",
    "sdxl-attention-scale",
    "an attention kernel that is told no scale",
    "unet.*attn*",
    causes=("attention_scale_missing",),
)
def _(pipe: Any) -> None:
    """The scores of all attentions of the UNet are not divided by the root of the head's size."""
    _attention_core(
        of_kind(pipe.unet, "Attention"),
        lambda own, query, key, value, **more: own(query * math.sqrt(query.shape[-1]), key, value, **more),
    )


@fault_of(
    "sdxl", "sdxl-quick-gelu", "documentation of torch_npu.npu_fast_gelu", "text_encoder.*mlp*", causes=("gelu_quick",)
)
def _(pipe: Any) -> None:
    """x sigmoid(1.702 x) in the MLPs of the first text encoder, where the checkpoint says GELU."""

    def quick(x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)

    for mlp in of_kind(pipe.text_encoder, "CLIPMLP"):
        mlp.forward = lambda x, mlp=mlp: mlp.fc2(quick(mlp.fc1(x)))


@benign_of("sdxl", "sdxl-channels-last", "a memory layout that convolutions prefer")
def _(pipe: Any) -> None:
    """The UNet is laid out channels last."""
    pipe.unet.to(memory_format=torch.channels_last)


# --- Qwen-Image ------------------------------------------------------------------------------------------------------


@fault_of("qwen", "qwen-text-norm-eps", "mindspore-lab/mindone#219", "text_encoder.*norm*", causes=("eps_tenth",))
def _(pipe: Any) -> None:
    """RMSNorm eps a tenth of the checkpoint's in all of the language model: a default instead of the configuration."""
    for norm in of_kind(pipe.text_encoder.model.language_model, "Qwen2RMSNorm"):
        norm.forward = _rms(norm, norm.variance_epsilon / 10)


@fault_of(
    "qwen", "qwen-timestep-bfloat16", "huggingface/diffusers#9405", "transformer.time_text_embed*",
    causes=("rounded_bfloat16",),
)  # fmt: skip
def _(pipe: Any) -> None:
    """The timestep is rounded to bfloat16 before its embedding."""
    embedding = pipe.transformer.time_text_embed
    wrap(
        embedding,
        "forward",
        lambda forward: lambda timestep, *given: forward(through(timestep.float(), torch.bfloat16), *given),
    )


@fault_of("qwen", "qwen-gelu-erf", "documentation of torch_npu.npu_gelu", "transformer.*mlp*", causes=("gelu_erf",))
def _(pipe: Any) -> None:
    """GELU by erf where the checkpoint says tanh, in the transformer's MLPs."""
    for gelu in of_kind(pipe.transformer, "GELU"):
        gelu.gelu = functional.gelu


@benign_of("qwen", "qwen-attention-by-formula", "an attention without a fused kernel")
def _(pipe: Any) -> None:
    """Attention of the transformer by its formula instead of the fused kernel."""

    def core(_own: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, **_named: Any) -> Tensor:
        scores = (query @ key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype is torch.bool else scores + attn_mask
        return scores.softmax(-1) @ value

    _attention_core(of_kind(pipe.transformer, "Attention"), core)
