"""Families of diffusers pipelines that ``harness check`` is tried on, each with what its call is given.

Another family is one more line: a function that saves a small random pipeline into a folder, and what it needs beside
a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.adapters import tiny_language_models, tiny_pipelines, tiny_transformers, tiny_unets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START, MASK, CONTROL = ({"image": f"{name}.png"} for name in ("start", "mask", "control"))
"""Images that lie beside the scenario, as values of arguments."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A small random pipeline and what its scenario says beside the prompt."""

    title: str
    save: Callable[[Path], None]
    """Saves the pipeline into a folder that is not there yet."""
    negative_prompt: bool = False
    """Whether the case has a negative prompt."""
    input_image: bool = False
    """Whether the case has an input image."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """What the scenario says under ``arguments:``."""
    side: int = 64
    """Width and height of the picture in pixels."""
    frames: int | None = None
    """How many frames a call makes; None where it makes a picture."""
    own_code: bool = False
    """Whether the folder has code that is run."""


FAMILIES: dict[str, Family] = {
    "sd15": Family(title="Stable Diffusion 1.5", save=tiny_pipelines.sd15, negative_prompt=True),
    "sd15-image-to-image": Family(
        title="Stable Diffusion 1.5, image to image",
        save=tiny_pipelines.sd15_image_to_image,
        input_image=True,
        arguments={"strength": 1.0},
    ),
    "sd15-inpaint": Family(
        title="Stable Diffusion 1.5, inpainting",
        save=tiny_unets.inpaint,
        input_image=True,
        arguments={"mask_image": MASK},
    ),
    "sd15-controlnet": Family(
        title="Stable Diffusion 1.5, ControlNet",
        save=tiny_unets.controlnet,
        arguments={"image": CONTROL, "controlnet_conditioning_scale": 0.8},
    ),
    "sd15-t2i-adapter": Family(
        title="Stable Diffusion 1.5, T2I-Adapter", save=tiny_unets.t2i_adapter, arguments={"image": CONTROL}
    ),
    "instruct-pix2pix": Family(
        title="InstructPix2Pix",
        save=tiny_unets.instruct_pix2pix,
        input_image=True,
        arguments={"image_guidance_scale": 1.5},
    ),
    "sd-upscale": Family(
        title="Stable Diffusion, upscaling",
        save=tiny_unets.upscale,
        input_image=True,
        arguments={"noise_level": 20},
        side=128,  # twice that of the image
    ),
    "latent-consistency": Family(title="Latent Consistency Model", save=tiny_unets.latent_consistency),
    "ldm3d": Family(title="LDM3D", save=tiny_unets.ldm3d),
    "sdxl": Family(title="Stable Diffusion XL", save=tiny_pipelines.sdxl, arguments={"prompt_2": "a red cup"}),
    "sdxl-inpaint": Family(
        title="Stable Diffusion XL, inpainting",
        save=tiny_unets.sdxl_inpaint,
        input_image=True,
        arguments={"mask_image": MASK, "strength": 1.0},
    ),
    "sdxl-controlnet-image-to-image": Family(
        title="Stable Diffusion XL, ControlNet and image to image",
        save=tiny_unets.controlnet_sdxl_image_to_image,
        input_image=True,
        arguments={"control_image": CONTROL, "strength": 1.0},
    ),
    "kandinsky-2.2": Family(
        title="Kandinsky 2.2", save=tiny_unets.kandinsky_2_2, arguments={"prior_num_inference_steps": 2}
    ),
    "kandinsky-3": Family(title="Kandinsky 3", save=tiny_unets.kandinsky_3, negative_prompt=True),
    "deepfloyd-if": Family(title="DeepFloyd IF, first stage", save=tiny_unets.deepfloyd),
    "own-class": Family(
        title="A class beside the weights", save=tiny_unets.own_class, arguments={"sharpness": 3.0}, own_code=True
    ),
    "ddpm": Family(title="DDPM", save=tiny_unets.ddpm),
    "sd3": Family(title="Stable Diffusion 3", save=tiny_pipelines.sd3, negative_prompt=True),
    "sd3-image-to-image": Family(
        title="Stable Diffusion 3, image to image",
        save=tiny_transformers.sd3_image_to_image,
        input_image=True,
        arguments={"strength": 0.5},  # with 1.0 nothing of the image would be left
    ),
    "flux": Family(title="Flux", save=tiny_pipelines.flux),
    "flux-kontext": Family(
        title="Flux Kontext",
        save=tiny_transformers.flux_kontext,
        input_image=True,
        arguments={"max_area": 4096, "_auto_resize": False},
    ),
    "flux-control": Family(
        title="Flux Control", save=tiny_transformers.flux_control, arguments={"control_image": CONTROL}
    ),
    "flux-fill": Family(
        title="Flux Fill", save=tiny_transformers.flux_fill, input_image=True, arguments={"mask_image": MASK}
    ),
    "flux2-klein": Family(
        title="Flux 2 Klein", save=tiny_language_models.flux2_klein, arguments={"text_encoder_out_layers": [1]}
    ),
    "qwen-image": Family(
        title="Qwen-Image",
        save=tiny_pipelines.qwen_image,
        negative_prompt=True,
        arguments={"true_cfg_scale": 4.0},
    ),
    "qwen-image-to-image": Family(
        title="Qwen-Image, image to image",
        save=tiny_transformers.qwen_image_to_image,
        input_image=True,
        arguments={"strength": 0.5},  # with 1.0 nothing of the image would be left
    ),
    "qwen-image-edit": Family(
        title="Qwen-Image-Edit",
        save=tiny_transformers.qwen_image_edit,
        negative_prompt=True,
        input_image=True,
        own_code=True,
    ),
    "qwen-image-edit-plus": Family(
        title="Qwen-Image-Edit-Plus",
        save=tiny_transformers.qwen_image_edit_plus,
        negative_prompt=True,
        arguments={"image": [START, CONTROL]},
        own_code=True,
    ),
    "pixart-sigma": Family(
        title="PixArt-Sigma",
        save=tiny_transformers.pixart_sigma,
        negative_prompt=True,
        arguments={"use_resolution_binning": False},
    ),
    "sana": Family(
        title="Sana", save=tiny_transformers.sana, negative_prompt=True, arguments={"use_resolution_binning": False}
    ),
    "auraflow": Family(title="AuraFlow", save=tiny_transformers.auraflow, negative_prompt=True),
    "lumina-2": Family(title="Lumina 2", save=tiny_transformers.lumina2, negative_prompt=True),
    "chroma": Family(title="Chroma", save=tiny_transformers.chroma, negative_prompt=True),
    "hidream": Family(title="HiDream-I1", save=tiny_transformers.hidream, negative_prompt=True, side=256),
    "z-image": Family(title="Z-Image", save=tiny_language_models.z_image, negative_prompt=True),
    "hunyuan-dit": Family(
        title="Hunyuan-DiT",
        save=tiny_transformers.hunyuan_dit,
        negative_prompt=True,
        arguments={"use_resolution_binning": False},
    ),
    "cogview-4": Family(title="CogView 4", save=tiny_language_models.cogview4, negative_prompt=True),
    "omnigen": Family(title="OmniGen", save=tiny_language_models.omnigen, arguments={"input_images": [[START]]}),
    "ltx": Family(title="LTX-Video", save=tiny_pipelines.ltx, negative_prompt=True, frames=9),
    "cogvideox": Family(
        title="CogVideoX",
        save=tiny_pipelines.cogvideox,
        negative_prompt=True,
        arguments={"max_sequence_length": 16},  # the number of tokens that its small transformer is made for
        frames=9,
    ),
    "wan": Family(title="Wan", save=tiny_pipelines.wan, negative_prompt=True, frames=9),
    "hunyuan-video": Family(
        title="HunyuanVideo",
        save=tiny_pipelines.hunyuan_video,
        arguments={"prompt_template": {"template": "{}", "crop_start": 0}},  # its own has more letters than are read
        frames=9,
    ),
}
"""The families of the table, by the names that its command takes."""
