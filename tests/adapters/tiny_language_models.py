"""Small random pipelines of diffusers whose prompt a language model of the newer kind reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tests.adapters.tiny_pipelines import _byte_tokenizer, _vae, diffusers, transformers
from tests.adapters.tiny_transformers import _bytes_with_end, _flow

if TYPE_CHECKING:
    from pathlib import Path


def _qwen3(kind: str) -> Any:
    config = transformers.Qwen3Config(
        hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2,
        head_dim=8, vocab_size=300, max_position_embeddings=512,
    )  # fmt: skip
    return getattr(transformers, kind)(config)


def z_image(folder: Path) -> None:
    """Z-Image: Qwen3 reads the prompt, text and image are one sequence, given to the transformer as lists."""
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    for token in (transformer.x_pad_token, transformer.cap_pad_token):
        token.data.fill_(1.0)  # they are what happened to be in memory
    pipe = diffusers.ZImagePipeline(
        scheduler=_flow(),
        vae=_vae(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_qwen3("Qwen3Model"),
        tokenizer=_chat(_byte_tokenizer(folder.with_name(f"{folder.name}-bytes"))),
        transformer=transformer,
    )
    pipe.save_pretrained(folder)


def _chat(tokenizer: Any) -> Any:
    tokenizer.chat_template = "{% for message in messages %}{{ message['role'] }} {{ message['content'] }}{% endfor %}"
    return tokenizer


def flux2_klein(folder: Path) -> None:
    """Flux 2 Klein: Qwen3 reads the prompt, and the autoencoder normalizes by batch statistics."""
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        timestep_guidance_channels=256,
        axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=False,
    )
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        sample_size=64,
    )
    pipe = diffusers.Flux2KleinPipeline(
        scheduler=_flow(),
        vae=vae,
        text_encoder=_qwen3("Qwen3ForCausalLM"),
        tokenizer=_chat(_byte_tokenizer(folder.with_name(f"{folder.name}-bytes"))),
        transformer=transformer,
    )
    pipe.save_pretrained(folder)


def cogview4(folder: Path) -> None:
    """CogView 4: GLM reads the prompt."""
    transformer = diffusers.CogView4Transformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=4,
        out_channels=4,
        text_embed_dim=32,
        time_embed_dim=8,
        condition_dim=4,
    )
    glm = transformers.GlmConfig(
        hidden_size=32, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, vocab_size=300, pad_token_id=256,
    )  # fmt: skip
    pipe = diffusers.CogView4Pipeline(
        tokenizer=_bytes_with_end(),
        text_encoder=transformers.GlmModel(glm),
        vae=_vae(),
        transformer=transformer,
        scheduler=_flow(
            base_shift=0.25, max_shift=0.75, base_image_seq_len=256, use_dynamic_shifting=True, time_shift_type="linear"
        ),
    )
    pipe.save_pretrained(folder)


def omnigen(folder: Path) -> None:
    """OmniGen: one transformer reads words and images, given as a list under the name ``input_images``."""
    transformer = diffusers.OmniGenTransformer2DModel(
        hidden_size=16,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=32,
        num_layers=1,
        in_channels=4,
        time_step_dim=4,
        rope_scaling={"long_factor": [1, 2], "short_factor": [1, 2]},
        vocab_size=300,
        pad_token_id=256,
    )
    pipe = diffusers.OmniGenPipeline(
        transformer=transformer,
        scheduler=_flow(invert_sigmas=True, num_train_timesteps=1),
        vae=_vae(),
        tokenizer=_bytes_with_end(),
    )
    pipe.save_pretrained(folder)
