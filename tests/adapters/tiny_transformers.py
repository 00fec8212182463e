"""Small random pipelines of diffusers whose denoiser is a transformer, beside those of ``tiny_pipelines``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from tests.adapters.tiny_pipelines import (
    _LETTERS,
    _byte_tokenizer,
    _clip,
    _clip_tokenizer,
    _t5,
    _t5_tokenizer,
    _vae,
    diffusers,
    flux,
    qwen_image,
    sd3,
    tokenizers,
    transformers,
)
from tests.adapters.tiny_unets import of_another_class

if TYPE_CHECKING:
    from pathlib import Path


_UNKNOWN = "<unk>"


def _flow(**settings: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**settings)


def _deeper_vae(**settings: Any) -> Any:
    """A VAE whose latents are an eighth of the image's size, where the pipeline counts on that."""
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        sample_size=64,
        **settings,
    )


def _gemma_tokenizer() -> Any:
    """A tokenizer of Gemma's kind that knows single letters."""
    special = ("<pad>", "<eos>", "<bos>", _UNKNOWN, "▁", "<start_of_turn>", "<end_of_turn>")
    words = {word: number for number, word in enumerate([*special, *_LETTERS, *_LETTERS.upper(), *".,:;-'\"()\n"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[], unk_token=_UNKNOWN))
    tokenizer.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    return transformers.GemmaTokenizerFast(tokenizer_object=tokenizer, model_max_length=300)


def _gemma(width: int) -> Any:
    config = transformers.Gemma2Config(
        head_dim=8, hidden_size=width, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2,
        num_key_value_heads=2, vocab_size=128, max_position_embeddings=512,
    )  # fmt: skip
    return transformers.Gemma2Model(config)


def flux_kontext(folder: Path) -> None:
    """Flux Kontext: edits an image, which goes beside the latents."""
    of_another_class(folder, "FluxKontextPipeline", flux)


def flux_control(folder: Path) -> None:
    """Flux with control in its own channels: a control image goes beside the latents, and no negative prompt."""
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=32,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    of_another_class(folder, "FluxControlPipeline", flux, transformer=transformer)


def flux_fill(folder: Path) -> None:
    """Flux Fill: an image and a mask go beside the latents."""
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16 + 16 + 16,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    of_another_class(folder, "FluxFillPipeline", flux, transformer=transformer)


def sd3_image_to_image(folder: Path) -> None:
    """Stable Diffusion 3 that begins with an image."""
    of_another_class(folder, "StableDiffusion3Img2ImgPipeline", sd3)


def qwen_image_to_image(folder: Path) -> None:
    """Qwen-Image that begins with an image."""
    of_another_class(folder, "QwenImageImg2ImgPipeline", qwen_image)


_PROCESSOR = '''
from transformers import BatchFeature, ProcessorMixin


class ImagesAndText(ProcessorMixin):
    """What Qwen2VLProcessor does with images and text, without its part for videos, which needs torchvision."""

    attributes = ["image_processor", "tokenizer"]
    image_processor_class = "Qwen2VLImageProcessor"
    tokenizer_class = "Qwen2Tokenizer"

    def __call__(self, text, images=None, padding=True, return_tensors="pt", **options):
        seen = self.image_processor(images=images, return_tensors=return_tensors)
        lengths = iter((seen["image_grid_thw"].prod(-1) // self.image_processor.merge_size**2).tolist())
        texts = []
        for written in [text] if isinstance(text, str) else text:
            first, *others = written.split("<|image_pad|>")
            texts.append(first + "".join("<|image_pad|>" * next(lengths) + other for other in others))
        return BatchFeature({**self.tokenizer(texts, padding=padding, return_tensors=return_tensors), **seen})
'''


def qwen_image_edit(folder: Path, pipeline: str = "QwenImageEditPipeline") -> None:
    """Qwen-Image-Edit: the language model sees the edited image, by a processor of the folder's own."""
    qwen_image(folder)
    place = folder / "processor"
    tokenizer = _byte_tokenizer(folder.with_name(f"{folder.name}-processor"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]})
    tokenizer.save_pretrained(place)
    transformers.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56).save_pretrained(place)
    (place / "images_and_text.py").write_text(_PROCESSOR, encoding="utf-8")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index |= {"_class_name": pipeline, "processor": ["images_and_text", "ImagesAndText"]}
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")


def qwen_image_edit_plus(folder: Path) -> None:
    """Qwen-Image-Edit-Plus: several images are given as a list."""
    qwen_image_edit(folder, "QwenImageEditPlusPipeline")


def pixart_sigma(folder: Path) -> None:
    """PixArt-Sigma: T5, and a transformer that predicts mean and variance."""
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=32,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
    )
    pipe = diffusers.PixArtSigmaPipeline(
        tokenizer=_t5_tokenizer(),
        text_encoder=_t5(32),
        vae=_vae(),
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )
    pipe.save_pretrained(folder)


def _sana_parts() -> dict[str, Any]:
    transformer = diffusers.SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=16,
        sample_size=32,
    )
    vae = diffusers.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    return {"tokenizer": _gemma_tokenizer(), "text_encoder": _gemma(16), "vae": vae, "transformer": transformer}


def sana(folder: Path) -> None:
    """Sana: Gemma reads the prompt, a transformer with linear attention, and a deeply compressing autoencoder."""
    diffusers.SanaPipeline(**_sana_parts(), scheduler=_flow(shift=3.0)).save_pretrained(folder)


def auraflow(folder: Path) -> None:
    """AuraFlow: T5 of another kind, and a transformer whose first block keeps text and image apart."""
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        out_channels=4,
        pos_embed_max_size=256,
    )
    config = transformers.UMT5Config(vocab_size=30, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    pipe = diffusers.AuraFlowPipeline(
        tokenizer=_t5_tokenizer(),
        text_encoder=transformers.UMT5EncoderModel(config),
        vae=_vae(),
        transformer=transformer,
        scheduler=_flow(),
    )
    pipe.save_pretrained(folder)


def lumina2(folder: Path) -> None:
    """Lumina 2: Gemma reads a system prompt and the prompt."""
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        hidden_size=8,
        num_layers=2,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        cap_feat_dim=16,
    )
    pipe = diffusers.Lumina2Pipeline(
        transformer=transformer,
        scheduler=_flow(),
        vae=_deeper_vae(shift_factor=0.06, scaling_factor=1.5),
        text_encoder=_gemma(16),
        tokenizer=_gemma_tokenizer(),
    )
    pipe.save_pretrained(folder)


def chroma(folder: Path) -> None:
    """Chroma: Flux without CLIP, with guidance by a negative prompt."""
    transformer = diffusers.ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_hidden_dim=32,
        approximator_layers=1,
        approximator_num_channels=16,
    )
    pipe = diffusers.ChromaPipeline(
        scheduler=_flow(),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=_t5(32),
        tokenizer=_t5_tokenizer(),
        transformer=transformer,
    )
    pipe.save_pretrained(folder)


def hidream(folder: Path) -> None:
    """HiDream: four text encoders, and experts in the transformer."""
    transformer = diffusers.HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_channels=[32, 16],
        text_emb_dim=64,
        num_routed_experts=4,
        num_activated_experts=2,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(32, 32),
        llama_layers=(0, 1),
    )
    llama = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, vocab_size=300
    )
    pipe = diffusers.HiDreamImagePipeline(
        scheduler=_flow(shift=3.0),
        vae=_vae(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_clip(projected=True, max_position_embeddings=128),
        tokenizer=_clip_tokenizer(folder.with_name(f"{folder.name}-clip")),
        text_encoder_2=_clip(projected=True, max_position_embeddings=128),
        tokenizer_2=_clip_tokenizer(folder.with_name(f"{folder.name}-clip-2")),
        text_encoder_3=_t5(32),
        tokenizer_3=_t5_tokenizer(),
        text_encoder_4=transformers.LlamaForCausalLM(llama),
        tokenizer_4=_bytes_with_end(),
        transformer=transformer,
    )
    pipe.save_pretrained(folder)


def _bytes_with_end() -> Any:
    """A fast tokenizer whose tokens are bytes, and one for the end."""
    words = {letter: number for number, letter in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words | {"<end>": len(words)}, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = dict.fromkeys(("eos_token", "pad_token", "bos_token"), "<end>")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=256, **special)


def hunyuan_dit(folder: Path) -> None:
    """Hunyuan-DiT: BERT and T5."""
    transformer = diffusers.HunyuanDiT2DModel(
        sample_size=32,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        in_channels=4,
        cross_attention_dim=32,
        cross_attention_dim_t5=32,
        pooled_projection_dim=16,
        hidden_size=24,
        activation_fn="gelu-approximate",
    )
    bert = transformers.BertConfig(
        vocab_size=40, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4
    )
    place = folder.with_name(f"{folder.name}-bert")
    place.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS]
    (place / "vocab.txt").write_text("\n".join(words))
    pipe = diffusers.HunyuanDiTPipeline(
        vae=_deeper_vae(),
        text_encoder=transformers.BertModel(bert),
        tokenizer=transformers.BertTokenizer(str(place / "vocab.txt"), model_max_length=77),
        transformer=transformer,
        scheduler=diffusers.DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=_t5(32),
        tokenizer_2=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)
