"""The sizes of the model, and a pipeline with fresh weights: the product's own file around the libraries' classes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel as StockTransformer
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import nn
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from harness.models._deepgen import FILES
from harness.models._deepgen.checkpoint.deepgen_pipeline import (
    Connector,
    DeepGenPipeline,
    SD3Transformer2DModel,
)
from training.vocabulary import TOKEN_IDS, VOCABULARY_SIZE, train_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

META_QUERIES = 12
PICKED_STATES = 6
CONNECTOR_WIDTH = 64
CONNECTOR_HIDDEN = 160
CONNECTOR_LAYERS = 2
CONDITIONING_WIDTH = 64
TEXT_WIDTH = 32

AUTOENCODER: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 16, 32, 32],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 16,
    "sample_size": 512,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "shift_factor": 0.0,
    "scaling_factor": 1.0,
}
TRANSFORMER: dict[str, Any] = {
    "sample_size": 64,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 5,
    "dual_attention_layers": (0, 1),
    "num_attention_heads": 5,
    "attention_head_dim": 16,
    "caption_projection_dim": 80,
    "joint_attention_dim": CONDITIONING_WIDTH,
    "pooled_projection_dim": CONDITIONING_WIDTH,
    "pos_embed_max_size": 32,
    "qk_norm": "rms_norm",
}
SCHEDULER: dict[str, Any] = {"num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False}


def language_config() -> Qwen2_5_VLConfig:
    """Qwen2.5-VL with 36 layers of width 32 behind a vision tower of two."""
    tokens: dict[str, Any] = {
        "image_token_id": TOKEN_IDS["<|image_pad|>"],
        "video_token_id": TOKEN_IDS["<|video_pad|>"],
        "vision_start_token_id": TOKEN_IDS["<|vision_start|>"],
        "vision_end_token_id": TOKEN_IDS["<|vision_end|>"],
        "vision_token_id": TOKEN_IDS["<|vision_pad|>"],
    }
    ends = {"bos_token_id": TOKEN_IDS["<|endoftext|>"], "eos_token_id": TOKEN_IDS["<|im_end|>"]}
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 36,
        "max_window_layers": 36,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        # Four frequencies in all: with the usual base the rows and columns of a picture would be turned by nothing.
        "rope_theta": 8.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "initializer_range": 0.08,
        "tie_word_embeddings": True,
        "pad_token_id": ends["bos_token_id"],
    }
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": TEXT_WIDTH,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
    }
    return Qwen2_5_VLConfig(text_config=text | ends, vision_config=vision, tie_word_embeddings=True, **tokens, **ends)


def fresh_connector() -> Connector:
    """A connector whose layers are initialised as PyTorch does it."""
    connector = Connector({name: torch.zeros(shape) for name, shape in _connector_shapes().items()})
    for module in connector.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.reset_parameters()
    nn.init.normal_(connector.meta_queries, std=0.5)
    return connector


def fresh_transformer() -> Any:
    """A transformer that begins as the zero velocity: modulations and output are zero."""
    transformer = StockTransformer(**TRANSFORMER)
    SD3Transformer2DModel.adopt(transformer)
    norms = [norm for block in transformer.transformer_blocks for norm in (block.norm1, block.norm1_context)]
    for layer in [*(norm.linear for norm in norms), transformer.norm_out.linear, transformer.proj_out]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return transformer


def fresh_pipeline(folder: Path, device: str = "cpu") -> Any:
    """The product's pipeline around fresh parts; its tokenizer is learnt into ``folder`` where it is not there yet."""
    torch.manual_seed(0)
    pipe = DeepGenPipeline(
        transformer=fresh_transformer(),
        vae=AutoencoderKL(**AUTOENCODER),
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
    )
    pipe.lmm = Qwen2_5_VLForConditionalGeneration(language_config())
    pipe.connector_module = fresh_connector()
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        train_tokenizer(folder)
    pipe.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    pipe.prompt_template = json.loads((FILES / "prompt_template.json").read_text(encoding="utf-8"))
    for module in (pipe.transformer, pipe.vae, pipe.lmm, pipe.connector_module):
        module.to(device)
    return pipe


def _connector_shapes() -> dict[str, tuple[int, ...]]:
    width, hidden = CONNECTOR_WIDTH, CONNECTOR_HIDDEN
    weights = {"projector_1": (width, PICKED_STATES * TEXT_WIDTH)}
    weights |= {f"projector_{k}": (CONDITIONING_WIDTH, width) for k in (2, 3)}
    norms = []
    for k in range(CONNECTOR_LAYERS):
        layer = f"connector.layers.{k}"
        weights |= {f"{layer}.self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
        weights |= {f"{layer}.mlp.fc1": (hidden, width), f"{layer}.mlp.fc2": (width, hidden)}
        norms += [f"{layer}.layer_norm1", f"{layer}.layer_norm2"]
    shapes: dict[str, tuple[int, ...]] = {"meta_queries": (META_QUERIES, TEXT_WIDTH)}
    shapes |= {f"{name}.weight": shape for name, shape in weights.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in weights.items()}
    shapes |= {f"{name}.{end}": (width,) for name in norms for end in ("weight", "bias")}
    return shapes


def hidden_states(pipe: Any, prompts: list[str], pictures: Tensor | None) -> Tensor:
    """The six picked states of the language model side by side, ``[n, tokens, 192]``, as the pipeline reads them.

    ``pictures`` are the pictures to edit, ``[n, 3, 128, 128]`` in [-1, 1], one for each prompt.
    """
    embeds, grid = None, None
    if pictures is None:
        tokens = pipe.prepare_text2image_prompts(prompts)
    else:
        embeds, grid = pipe.get_semantic_features_dynamic(list(pictures))
        length = len(embeds) // len(pictures)
        tokens = pipe.prepare_image2image_prompts(prompts, [1] * len(prompts), [length] * len(prompts))
    queries = pipe.connector_module.meta_queries[None].expand(len(prompts), -1, -1)
    inputs = pipe.prepare_forward_input(query_embeds=queries, image_embeds=embeds, image_grid_thw=grid, **tokens)
    states = pipe.llm(**inputs, output_hidden_states=True, use_cache=False, return_dict=True).hidden_states
    layers = range(pipe.llm.config.num_hidden_layers - 1, 0, -pipe.llm.config.num_hidden_layers // PICKED_STATES)
    return torch.cat([states[k] for k in layers], dim=-1)
