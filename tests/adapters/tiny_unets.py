"""Small random pipelines of diffusers whose denoiser is a UNet, beside those of ``tiny_pipelines``."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import torch

from tests.adapters.tiny_pipelines import (
    _clip,
    _clip_tokenizer,
    _t5,
    _t5_tokenizer,
    _unet,
    diffusers,
    sd15,
    sdxl,
    transformers,
)

if TYPE_CHECKING:
    from pathlib import Path


def of_another_class(folder: Path, name: str, base: Any, **components: Any) -> None:
    """Save a pipeline of a class that is made from another pipeline, with components of its own."""
    base(folder.with_name(f"{folder.name}-base"))
    of_base = diffusers.DiffusionPipeline.from_pretrained(folder.with_name(f"{folder.name}-base")).components
    kind = getattr(diffusers, name)
    taken = inspect.signature(kind.__init__).parameters
    kind(**{part: value for part, value in (of_base | components).items() if part in taken}).save_pretrained(folder)


def inpaint(folder: Path) -> None:
    """Stable Diffusion that is told an image and a mask: a UNet of nine channels."""
    unet = _unet(cross_attention_dim=32, attention_head_dim=4, in_channels=9)
    of_another_class(folder, "StableDiffusionInpaintPipeline", sd15, unet=unet)


def instruct_pix2pix(folder: Path) -> None:
    """Stable Diffusion that edits an image by an instruction: eight channels, and a guidance of the image."""
    unet = _unet(cross_attention_dim=32, attention_head_dim=4, in_channels=8)
    of_another_class(folder, "StableDiffusionInstructPix2PixPipeline", sd15, unet=unet)


def _controlnet(**changes: Any) -> Any:
    return diffusers.ControlNetModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        in_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        conditioning_embedding_out_channels=(16, 32),  # they halve the size once, as the tiny VAE does
        **changes,
    )


def controlnet(folder: Path) -> None:
    """Stable Diffusion with a ControlNet, which takes what steers it under the name ``image``."""
    added = _controlnet(cross_attention_dim=32, attention_head_dim=4)
    _with_weights(added)
    of_another_class(folder, "StableDiffusionControlNetPipeline", sd15, controlnet=added)


def controlnet_sdxl_image_to_image(folder: Path) -> None:
    """Stable Diffusion XL that begins with an image and has a ControlNet for another one."""
    added = _controlnet(
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=80,
    )
    _with_weights(added)
    of_another_class(folder, "StableDiffusionXLControlNetImg2ImgPipeline", sdxl, controlnet=added)


def _with_weights(model: Any) -> None:
    """Fill layers that begin with zeros, as those of a ControlNet do, which then would change nothing."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


def t2i_adapter(folder: Path) -> None:
    """Stable Diffusion with a T2I-Adapter, which takes what steers it under the name ``image``."""
    adapter = diffusers.T2IAdapter(in_channels=3, channels=[32, 64], num_res_blocks=1, downscale_factor=2)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
    )
    of_another_class(folder, "StableDiffusionAdapterPipeline", sd15, adapter=adapter, unet=unet)


def sdxl_inpaint(folder: Path) -> None:
    """Stable Diffusion XL that is told an image and a mask, with its UNet of four channels."""
    of_another_class(folder, "StableDiffusionXLInpaintPipeline", sdxl)


def latent_consistency(folder: Path) -> None:
    """A latent consistency model: a UNet that is told the guidance scale, and no negative prompt."""
    unet = _unet(cross_attention_dim=32, attention_head_dim=4, time_cond_proj_dim=32)
    scheduler = diffusers.LCMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)
    of_another_class(folder, "LatentConsistencyModelPipeline", sd15, unet=unet, scheduler=scheduler)


def upscale(folder: Path) -> None:
    """Stable Diffusion that makes a small image larger: noise is added to the image, and the UNet is told how much."""
    unet = _unet(
        cross_attention_dim=32, attention_head_dim=4, in_channels=7, num_class_embeds=100, use_linear_projection=True
    )
    of_another_class(
        folder,
        "StableDiffusionUpscalePipeline",
        sd15,
        unet=unet,
        low_res_scheduler=diffusers.DDPMScheduler(),
        scheduler=diffusers.DDIMScheduler(prediction_type="v_prediction"),
        watermarker=None,
    )


def ldm3d(folder: Path) -> None:
    """Stable Diffusion that returns an image and its depth."""
    of_another_class(folder, "StableDiffusionLDM3DPipeline", sd15, vae=_vae_of(6))


def _vae_of(channels: int) -> Any:
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        latent_channels=4,
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        sample_size=64,
    )


def _movq() -> Any:
    """A decoder whose latents are an eighth of the image's size."""
    return diffusers.VQModel(
        block_out_channels=[32] * 4,
        down_block_types=["DownEncoderBlock2D"] * 3 + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 3,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )


def kandinsky_2_2(folder: Path) -> None:
    """Kandinsky 2.2: a prior makes the embedding of an image from the prompt, a decoder the image."""
    unet = diffusers.UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(32, 64),
        layers_per_block=1,
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=32,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
    )
    prior = diffusers.PriorTransformer(num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1)
    prior.clip_std.data.fill_(1.0)  # it begins with 0, which makes every embedding 0
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, projection_dim=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    pipe = diffusers.KandinskyV22CombinedPipeline(
        unet=unet,
        scheduler=diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, variance_type="learned_range"),
        movq=_movq(),
        prior_prior=prior,
        prior_image_encoder=transformers.CLIPVisionModelWithProjection(vision),
        prior_text_encoder=_clip(projected=True),
        prior_tokenizer=_clip_tokenizer(folder.with_name(f"{folder.name}-clip")),
        prior_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True, clip_sample_range=10.0
        ),
        prior_image_processor=transformers.CLIPImageProcessor(size=28, crop_size=28),
    )
    pipe.save_pretrained(folder)


def kandinsky_3(folder: Path) -> None:
    """Kandinsky 3: T5, a UNet of its own kind, and a decoder that is called movq."""
    unet = diffusers.Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(32, 64),
        cross_attention_dim=4,
        encoder_hid_dim=32,
    )
    pipe = diffusers.Kandinsky3Pipeline(
        unet=unet,
        scheduler=diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="squaredcos_cap_v2"),
        movq=_movq(),
        text_encoder=_t5(32),
        tokenizer=_t5_tokenizer(),
    )
    pipe.save_pretrained(folder)


def deepfloyd(folder: Path) -> None:
    """DeepFloyd IF, first stage: no VAE, the UNet makes pixels, and the scheduler draws at every step."""
    unet = diffusers.UNet2DConditionModel(
        sample_size=64,
        layers_per_block=1,
        block_out_channels=[32, 64],
        down_block_types=["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
        in_channels=3,
        out_channels=6,
        cross_attention_dim=32,
        encoder_hid_dim=32,
        attention_head_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm",
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
    )
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=1.0,
        variance_type="learned_range",
    )
    pipe = diffusers.IFPipeline(
        text_encoder=_t5(32),
        tokenizer=_t5_tokenizer(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)


_OWN_CLASS = """
from diffusers import StableDiffusionPipeline


class OwnPipeline(StableDiffusionPipeline):
    def __call__(self, prompt, num_inference_steps=4, height=None, width=None, generator=None, sharpness=1.0):
        made = super().__call__(
            prompt, height, width, num_inference_steps, guidance_scale=sharpness + 1.0, generator=generator
        )
        return (made.images, sharpness)
"""


def own_class(folder: Path) -> None:
    """A class that lies beside the weights, takes no guidance scale, and returns a tuple."""
    sd15(folder)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    named = index | {"_class_name": ["own_pipeline", "OwnPipeline"]}
    (folder / "model_index.json").write_text(json.dumps(named), encoding="utf-8")
    (folder / "own_pipeline.py").write_text(_OWN_CLASS, encoding="utf-8")


def ddpm(folder: Path) -> None:
    """DDPM, which is told nothing: no prompt, so it cannot be asked for a case."""
    unet = diffusers.UNet2DModel(
        sample_size=32,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDPMScheduler()).save_pretrained(folder)
