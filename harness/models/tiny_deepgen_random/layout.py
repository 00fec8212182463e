"""Which tensors each part of the checkpoint stores, by the names and shapes of the library classes that load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "checkpoint"
"""The files that are copied as they are; the sizes below are read from the configs among them."""

Shapes = dict[str, tuple[int, ...]]

META_QUERIES = 16
CONNECTOR_WIDTH = 128
CONNECTOR_HIDDEN = 192
CONNECTOR_LAYERS = 2
PICKED_STATES = 6
TIMESTEP_CHANNELS = 256


def config(part: str) -> dict[str, Any]:
    """The ``config.json`` of "transformer", "vae" or "vlm"."""
    settings: dict[str, Any] = json.loads((FILES / part / "config.json").read_text(encoding="utf-8"))
    return settings


def transformer_shapes() -> Shapes:
    """The tensors of ``SD3Transformer2DModel``, its position table included."""
    c = config("transformer")
    width = c["num_attention_heads"] * c["attention_head_dim"]
    patch = c["patch_size"]
    shapes: Shapes = {"pos_embed.pos_embed": (1, c["pos_embed_max_size"] ** 2, width)}
    shapes |= _affine("pos_embed.proj", (width, c["in_channels"], patch, patch))
    for name, inputs in (("timestep", TIMESTEP_CHANNELS), ("text", c["pooled_projection_dim"])):
        shapes |= _affine(f"time_text_embed.{name}_embedder.linear_1", (width, inputs))
        shapes |= _affine(f"time_text_embed.{name}_embedder.linear_2", (width, width))
    shapes |= _affine("context_embedder", (width, c["joint_attention_dim"]))
    for k in range(c["num_layers"]):
        shapes |= _joint_block(
            f"transformer_blocks.{k}",
            width,
            c["attention_head_dim"],
            dual=k in c["dual_attention_layers"],
            last=k == c["num_layers"] - 1,
        )
    shapes |= _affine("norm_out.linear", (2 * width, width))
    shapes |= _affine("proj_out", (patch * patch * c["out_channels"], width))
    return shapes


def vae_shapes() -> Shapes:
    """The tensors of ``AutoencoderKL`` without quantisation convolutions."""
    c = config("vae")
    channels = c["block_out_channels"]
    latents, layers = c["latent_channels"], c["layers_per_block"]
    shapes = _affine("encoder.conv_in", (channels[0], c["in_channels"], 3, 3))
    inputs = channels[0]
    for k, outputs in enumerate(channels):
        for j in range(layers):
            shapes |= _residual(f"encoder.down_blocks.{k}.resnets.{j}", inputs if j == 0 else outputs, outputs)
        if k < len(channels) - 1:
            shapes |= _affine(f"encoder.down_blocks.{k}.downsamplers.0.conv", (outputs, outputs, 3, 3))
        inputs = outputs
    shapes |= _middle("encoder.mid_block", inputs)
    shapes |= _affine("encoder.conv_norm_out", (inputs,))
    shapes |= _affine("encoder.conv_out", (2 * latents, inputs, 3, 3))
    shapes |= _affine("decoder.conv_in", (inputs, latents, 3, 3))
    shapes |= _middle("decoder.mid_block", inputs)
    for k, outputs in enumerate(reversed(channels)):
        for j in range(layers + 1):
            shapes |= _residual(f"decoder.up_blocks.{k}.resnets.{j}", inputs if j == 0 else outputs, outputs)
        if k < len(channels) - 1:
            shapes |= _affine(f"decoder.up_blocks.{k}.upsamplers.0.conv", (outputs, outputs, 3, 3))
        inputs = outputs
    shapes |= _affine("decoder.conv_norm_out", (inputs,))
    shapes |= _affine("decoder.conv_out", (c["out_channels"], inputs, 3, 3))
    return shapes


def vlm_shapes() -> Shapes:
    """The tensors of ``Qwen2_5_VLForConditionalGeneration`` under their stored names, without the tied head."""
    c = config("vlm")
    return _vision_shapes(c["vision_config"]) | _text_shapes(c["text_config"])


def connector_shapes() -> Shapes:
    """The tensors of the connector between the language model and the transformer."""
    text, dit = config("vlm")["text_config"], config("transformer")
    shapes: Shapes = {"meta_queries": (META_QUERIES, text["hidden_size"])}
    shapes |= _affine("projector_1", (CONNECTOR_WIDTH, PICKED_STATES * text["hidden_size"]))
    shapes |= _affine("projector_2", (dit["pooled_projection_dim"], CONNECTOR_WIDTH))
    shapes |= _affine("projector_3", (dit["joint_attention_dim"], CONNECTOR_WIDTH))
    for k in range(CONNECTOR_LAYERS):
        layer = f"connector.layers.{k}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _affine(f"{layer}.self_attn.{name}", (CONNECTOR_WIDTH, CONNECTOR_WIDTH))
        shapes |= _affine(f"{layer}.layer_norm1", (CONNECTOR_WIDTH,))
        shapes |= _affine(f"{layer}.layer_norm2", (CONNECTOR_WIDTH,))
        shapes |= _affine(f"{layer}.mlp.fc1", (CONNECTOR_HIDDEN, CONNECTOR_WIDTH))
        shapes |= _affine(f"{layer}.mlp.fc2", (CONNECTOR_WIDTH, CONNECTOR_HIDDEN))
    return shapes


def _affine(name: str, weight: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _joint_block(name: str, width: int, head: int, *, dual: bool, last: bool) -> Shapes:
    shapes = _affine(f"{name}.norm1.linear", ((9 if dual else 6) * width, width))
    shapes |= _affine(f"{name}.norm1_context.linear", ((2 if last else 6) * width, width))
    projections = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj"]
    for projection in [*projections, *([] if last else ["to_add_out"])]:
        shapes |= _affine(f"{name}.attn.{projection}", (width, width))
    for norm in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        shapes[f"{name}.attn.{norm}.weight"] = (head,)
    if dual:
        for projection in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= _affine(f"{name}.attn2.{projection}", (width, width))
        for norm in ("norm_q", "norm_k"):
            shapes[f"{name}.attn2.{norm}.weight"] = (head,)
    for mlp in ("ff", *(() if last else ("ff_context",))):
        shapes |= _affine(f"{name}.{mlp}.net.0.proj", (4 * width, width))
        shapes |= _affine(f"{name}.{mlp}.net.2", (width, 4 * width))
    return shapes


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    shapes = _affine(f"{name}.norm1", (inputs,)) | _affine(f"{name}.conv1", (outputs, inputs, 3, 3))
    shapes |= _affine(f"{name}.norm2", (outputs,)) | _affine(f"{name}.conv2", (outputs, outputs, 3, 3))
    if inputs != outputs:
        shapes |= _affine(f"{name}.conv_shortcut", (outputs, inputs, 1, 1))
    return shapes


def _middle(name: str, width: int) -> Shapes:
    shapes = _residual(f"{name}.resnets.0", width, width) | _residual(f"{name}.resnets.1", width, width)
    shapes |= _affine(f"{name}.attentions.0.group_norm", (width,))
    for projection in ("to_q", "to_k", "to_v", "to_out.0"):
        shapes |= _affine(f"{name}.attentions.0.{projection}", (width, width))
    return shapes


def _vision_shapes(c: dict[str, Any]) -> Shapes:
    width, merged = c["hidden_size"], c["hidden_size"] * c["spatial_merge_size"] ** 2
    patch = (c["in_channels"], c["temporal_patch_size"], c["patch_size"], c["patch_size"])
    shapes: Shapes = {"visual.patch_embed.proj.weight": (width, *patch), "visual.merger.ln_q.weight": (width,)}
    shapes |= _affine("visual.merger.mlp.0", (merged, merged))
    shapes |= _affine("visual.merger.mlp.2", (c["out_hidden_size"], merged))
    for k in range(c["depth"]):
        block = f"visual.blocks.{k}"
        shapes |= {f"{block}.norm1.weight": (width,), f"{block}.norm2.weight": (width,)}
        shapes |= _affine(f"{block}.attn.qkv", (3 * width, width)) | _affine(f"{block}.attn.proj", (width, width))
        for name in ("gate_proj", "up_proj"):
            shapes |= _affine(f"{block}.mlp.{name}", (c["intermediate_size"], width))
        shapes |= _affine(f"{block}.mlp.down_proj", (width, c["intermediate_size"]))
    return shapes


def _text_shapes(c: dict[str, Any]) -> Shapes:
    width, hidden = c["hidden_size"], c["intermediate_size"]
    narrow = width // c["num_attention_heads"] * c["num_key_value_heads"]
    shapes: Shapes = {"model.embed_tokens.weight": (c["vocab_size"], width), "model.norm.weight": (width,)}
    for k in range(c["num_hidden_layers"]):
        layer = f"model.layers.{k}"
        shapes |= {f"{layer}.input_layernorm.weight": (width,), f"{layer}.post_attention_layernorm.weight": (width,)}
        shapes |= _affine(f"{layer}.self_attn.q_proj", (width, width))
        shapes |= _affine(f"{layer}.self_attn.k_proj", (narrow, width))
        shapes |= _affine(f"{layer}.self_attn.v_proj", (narrow, width))
        shapes[f"{layer}.self_attn.o_proj.weight"] = (width, width)
        shapes |= {f"{layer}.mlp.gate_proj.weight": (hidden, width), f"{layer}.mlp.up_proj.weight": (hidden, width)}
        shapes[f"{layer}.mlp.down_proj.weight"] = (width, hidden)
    return shapes
