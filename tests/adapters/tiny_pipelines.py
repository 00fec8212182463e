"""Real diffusers pipelines made from configurations, with small random weights and tokenizers of a few words."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

diffusers: Any = import_module("diffusers")  # its constructors are not annotated
transformers: Any = import_module("transformers")
tokenizers: Any = import_module("tokenizers")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _clip_tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer that knows single letters."""
    words = ["<|startoftext|>", "<|endoftext|>", *_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def _clip(*, projected: bool = False, **changes: Any) -> Any:
    config = transformers.CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        vocab_size=54,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        hidden_act="gelu",
        **changes,
    )
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def _t5_tokenizer() -> Any:
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -3.0), *((letter, -4.0) for letter in _LETTERS)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(words, unk_id=2))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    return transformers.T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0, model_max_length=77)


def _t5(width: int) -> Any:
    config = transformers.T5Config(
        vocab_size=30, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    return transformers.T5EncoderModel(config)


def _vae(latent_channels: int = 4, **changes: Any) -> Any:
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=latent_channels,
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=32,
        sample_size=64,
        **changes,
    )


def _unet(in_channels: int = 4, **changes: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=32,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **changes,
    )


def sd15(folder: Path, scheduler: str = "EulerAncestralDiscreteScheduler", **settings: Any) -> None:
    """Stable Diffusion 1.5; its scheduler draws noise at every step."""
    pipe = diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        tokenizer=_clip_tokenizer(folder.with_name(f"{folder.name}-clip")),
        unet=_unet(cross_attention_dim=32, attention_head_dim=4),
        scheduler=getattr(diffusers, scheduler)(beta_schedule="scaled_linear", steps_offset=1, **settings),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)


def sd15_image_to_image(folder: Path) -> None:
    """Stable Diffusion 1.5 that begins with a picture."""
    sd15(folder, "DDIMScheduler", clip_sample=False)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionImg2ImgPipeline"}))


def sdxl(folder: Path) -> None:
    """Stable Diffusion XL: two text encoders."""
    unet = _unet(
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=80,
    )
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        text_encoder_2=_clip(projected=True),
        tokenizer=_clip_tokenizer(folder.with_name(f"{folder.name}-clip")),
        tokenizer_2=_clip_tokenizer(folder.with_name(f"{folder.name}-clip-2")),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder)


def sd3(folder: Path) -> None:
    """Stable Diffusion 3: two CLIP encoders, T5 and a transformer."""
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=64,
    )
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=_clip(projected=True),
        tokenizer=_clip_tokenizer(folder.with_name(f"{folder.name}-clip")),
        text_encoder_2=_clip(projected=True),
        tokenizer_2=_clip_tokenizer(folder.with_name(f"{folder.name}-clip-2")),
        text_encoder_3=_t5(64),
        tokenizer_3=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)


def flux(folder: Path) -> None:
    """Flux: packed latents, and a guidance scale that is given to the model."""
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    pipe = diffusers.FluxPipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=_clip(),
        tokenizer=_clip_tokenizer(folder.with_name(f"{folder.name}-clip")),
        text_encoder_2=_t5(32),
        tokenizer_2=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)


def qwen_image(folder: Path) -> None:
    """Qwen-Image: a language model reads the prompt, and a decoder of videos makes the picture."""
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            **size,
            "num_key_value_heads": 2,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            "vocab_size": 300,
        },
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
        hidden_size=16,
        vocab_size=300,
        vision_start_token_id=257,
        vision_end_token_id=258,
        image_token_id=259,
        vision_token_id=260,
        video_token_id=261,
    )
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=24,
        z_dim=4,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    pipe = diffusers.QwenImagePipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=_byte_tokenizer(folder.with_name(f"{folder.name}-bytes")),
    )
    pipe.save_pretrained(folder)


def _byte_tokenizer(folder: Path) -> Any:
    """A tokenizer of Qwen's kind whose tokens are bytes."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.Qwen2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


PIPELINES: dict[str, Callable[[Path], None]] = {
    "sd15": sd15,
    "sdxl": sdxl,
    "sd3": sd3,
    "flux": flux,
    "qwen": qwen_image,
}
"""Saves a text-to-image pipeline into a folder that is not there yet."""


def saved(name: str, folder: Path) -> Path:
    """The folder of a pipeline, made with weights that are the same every time."""
    torch.manual_seed(0)
    PIPELINES.get(name, sd15_image_to_image)(folder)
    return folder


# --- videos ----------------------------------------------------------------------------------------------------------


def ltx(folder: Path) -> None:
    """LTX-Video: packed latents of frames, one for eight frames and the first, and guidance by a second prediction."""
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    vae.use_framewise_encoding = False
    vae.use_framewise_decoding = False
    pipe = diffusers.LTXPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        text_encoder=_t5(32),
        tokenizer=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)


def cogvideox(folder: Path) -> None:
    """CogVideoX: a decoder that works on a few latent frames at a time."""
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=16,
    )
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKLCogVideoX(
        in_channels=3,
        out_channels=3,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    pipe = diffusers.CogVideoXPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.CogVideoXDDIMScheduler(),
        text_encoder=_t5(32),
        tokenizer=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)


def wan(folder: Path) -> None:
    """Wan: UMT5 reads the prompt, and the decoder of Qwen-Image's kind keeps what it knows of the frames before."""
    text = transformers.UMT5Config(
        vocab_size=30, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=32,
        freq_dim=32,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    pipe = diffusers.WanPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=transformers.UMT5EncoderModel(text),
        tokenizer=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)


def hunyuan_video(folder: Path) -> None:
    """HunyuanVideo: Llama and CLIP read the prompt, and the transformer is told the guidance."""
    tokenizer = _t5_tokenizer().backend_tokenizer
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": False}
    text = transformers.LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4, pad_token_id=0
    )
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=1,
        patch_size_t=1,
        text_embed_dim=16,
        pooled_projection_dim=32,
        rope_axes_dim=(2, 4, 4),
    )
    vae = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
    )
    pipe = diffusers.HunyuanVideoPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder=transformers.LlamaModel(text),
        tokenizer=transformers.LlamaTokenizerFast(tokenizer_object=tokenizer, **names),
        text_encoder_2=_clip(),
        tokenizer_2=_clip_tokenizer(folder.with_name("clip")),
    )
    pipe.save_pretrained(folder)


VIDEO_PIPELINES: dict[str, Callable[[Path], None]] = {
    "ltx": ltx,
    "cogvideox": cogvideox,
    "wan": wan,
    "hunyuan-video": hunyuan_video,
}
"""Saves a text-to-video pipeline into a folder that is not there yet."""


def saved_video(name: str, folder: Path) -> Path:
    """The folder of a pipeline of videos, made with weights that are the same every time."""
    torch.manual_seed(0)
    VIDEO_PIPELINES[name](folder)
    return folder
