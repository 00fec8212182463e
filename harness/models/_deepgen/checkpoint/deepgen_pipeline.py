"""A stand-in for the pipeline file of DeepGen-1.0-diffusers: the same public names, shapes and order of work.

A vision-language model reads the prompt (and the pictures to edit), a connector turns its hidden states into
conditioning, a transformer denoises latents with the pictures' latents as extra tokens, an autoencoder decodes them.
"""
# ruff: noqa: INP001, FBT001, FBT002, PLR0913, PLR0917, TC002
# The folder is data and no package; the signatures are those that callers of the original know; diffusers looks up
# the types of the components at run time.

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel as StockTransformer
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.utils import logging
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

logger = logging.get_logger(__name__)

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CONNECTOR_HEAD_DIM = 64
LAYER_STRIDE = 6
SIZE_STEP = 32
"""Picture sides: 8 of the autoencoder times 2 of the patch, and 28/32 of a side must hold whole 28-pixel squares."""


class JointAttentionProcessor:
    """Attention over picture tokens and, where given, text tokens, with a boolean mask that hides padded references."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend; ``attention_mask`` [batch, picture tokens] is True where a token is real."""
        batch, tokens, _ = hidden_states.shape
        query = _heads(attn, attn.to_q(hidden_states), attn.norm_q)
        key = _heads(attn, attn.to_k(hidden_states), attn.norm_k)
        value = _heads(attn, attn.to_v(hidden_states), None)
        if encoder_hidden_states is not None:
            text = encoder_hidden_states
            query = torch.cat([query, _heads(attn, attn.add_q_proj(text), attn.norm_added_q)], dim=2)
            key = torch.cat([key, _heads(attn, attn.add_k_proj(text), attn.norm_added_k)], dim=2)
            value = torch.cat([value, _heads(attn, attn.add_v_proj(text), None)], dim=2)
        mask = _square_mask(attention_mask, key.shape[2])
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed = mixed.transpose(1, 2).reshape(batch, key.shape[2], -1).to(hidden_states.dtype)
        picture: Tensor = attn.to_out[1](attn.to_out[0](mixed[:, :tokens]))
        if encoder_hidden_states is None:
            return picture
        rest = mixed[:, tokens:]
        return (picture, rest) if attn.context_pre_only else (picture, attn.to_add_out(rest))


def _heads(attn: Attention, x: Tensor, norm: nn.Module | None) -> Tensor:
    x = x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return x if norm is None else norm(x)


def _square_mask(real: Tensor | None, length: int) -> Tensor | None:
    """[batch, n] -> [batch, 1, length, length]; tokens behind the first n are real."""
    if real is None:
        return None
    keys = functional.pad(real, (0, length - real.shape[1]), value=True)
    return keys[:, None, None, :].expand(-1, 1, length, -1)


class SD3Transformer2DModel(StockTransformer):
    """The SD3 transformer of diffusers, with the latents of reference pictures as tokens behind the target's."""

    @classmethod
    def adopt(cls, transformer: Any) -> None:
        """Turn a loaded stock transformer into this class, in place and with its weights as they are."""
        transformer.__class__ = cls
        transformer.set_attn_processor(JointAttentionProcessor())

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        pooled_projections: Tensor,
        timestep: Tensor,
        cond_hidden_states: list[list[Tensor]] | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Velocity [batch, 16, h, w]; ``cond_hidden_states`` holds for each sample a list of latents [16, h', w']."""
        height, width = hidden_states.shape[-2:]
        x = self.pos_embed(hidden_states)
        targets = x.shape[1]
        x, real = self._append_references(x, cond_hidden_states)
        temb = self.time_text_embed(timestep, pooled_projections)
        text = self.context_embedder(encoder_hidden_states)
        for block in self.transformer_blocks:
            text, x = block(
                hidden_states=x,
                encoder_hidden_states=text,
                temb=temb,
                joint_attention_kwargs={"attention_mask": real},
            )
        x = self.proj_out(self.norm_out(x[:, :targets], temb))
        sample = self._unpatchify(x, height, width)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _append_references(self, x: Tensor, references: list[list[Tensor]] | None) -> tuple[Tensor, Tensor]:
        """Tokens [batch, targets + longest reference, width] and which of them are real [batch, same]."""
        batch, targets, width = x.shape
        if references is None:
            return x, torch.ones(batch, targets, dtype=torch.bool, device=x.device)
        if len(references) != batch:
            raise ValueError(f"cond_hidden_states describes {len(references)} samples, the batch has {batch}.")
        rows = [
            torch.cat([x.new_zeros(0, width), *(self.pos_embed(latent[None].to(x))[0] for latent in latents)])
            for latents in references
        ]
        longest = max(row.shape[0] for row in rows)
        padded = torch.stack([functional.pad(row, (0, 0, 0, longest - row.shape[0])) for row in rows])
        lengths = torch.tensor([targets + row.shape[0] for row in rows], device=x.device)
        real = torch.arange(targets + longest, device=x.device)[None] < lengths[:, None]
        return torch.cat([x, padded], dim=1), real

    def _unpatchify(self, x: Tensor, height: int, width: int) -> Tensor:
        patch, batch = self.config["patch_size"], x.shape[0]
        x = x.reshape(batch, height // patch, width // patch, patch, patch, self.out_channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(batch, self.out_channels, height, width)


class ConnectorAttention(nn.Module):
    """Bidirectional self-attention without a mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, n, width] -> the same."""
        query, key, value = (
            projection(x).unflatten(-1, (-1, CONNECTOR_HEAD_DIM)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed: Tensor = self.out_proj(
            functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        )
        return mixed


class ConnectorMLP(nn.Module):
    """Two linear layers around a tanh GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> the same."""
        y: Tensor = self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))
        return y


class ConnectorLayer(nn.Module):
    """One pre-norm encoder layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.self_attn, self.mlp = ConnectorAttention(width), ConnectorMLP(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, n, width] -> the same."""
        x = x + self.self_attn(self.layer_norm1(x))
        y: Tensor = x + self.mlp(self.layer_norm2(x))
        return y


class ConnectorEncoder(nn.Module):
    """The layers of the connector, one after another."""

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConnectorLayer(width, hidden) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, n, width] -> the same."""
        for layer in self.layers:
            x = layer(x)
        return x


class Connector(nn.Module):
    """Learned queries for the language model, and the way from its hidden states to the transformer's conditioning."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        """Take every size from the stored tensors, so that one file serves checkpoints of any size.

        Raises:
            RuntimeError: the tensors are not those of a connector.
        """
        super().__init__()
        width, features = state["projector_1.weight"].shape
        hidden = state["connector.layers.0.mlp.fc1.weight"].shape[0]
        layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("connector.layers."))
        self.meta_queries = nn.Parameter(torch.empty_like(state["meta_queries"]))
        self.projector_1 = nn.Linear(features, width)
        self.connector = ConnectorEncoder(width, hidden, layers)
        self.projector_2 = nn.Linear(width, state["projector_2.weight"].shape[0])
        self.projector_3 = nn.Linear(width, state["projector_3.weight"].shape[0])
        self.load_state_dict(state)

    def llm2dit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [batch, n, features] -> pooled [batch, p] and sequence [batch, n, s], padding included."""
        x = self.connector(self.projector_1(x))
        return self.projector_2(x.mean(dim=1)), self.projector_3(x)


class DeepGenPipeline(DiffusionPipeline):
    """Text to picture and picture editing; the language side is loaded from the checkpoint folder on first use."""

    def __init__(
        self, transformer: StockTransformer, vae: AutoencoderKL, scheduler: FlowMatchEulerDiscreteScheduler
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, vae=vae, scheduler=scheduler)
        SD3Transformer2DModel.adopt(transformer)
        self.vae_scale_factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.lmm: Any = None
        self.tokenizer: Any = None
        self.connector_module: Any = None
        self.prompt_template: dict[str, Any] = {}

    @property
    def llm(self) -> Any:
        """The text model inside the vision-language model, None before loading."""
        return None if self.lmm is None else self.lmm.language_model

    @property
    def num_queries(self) -> int:
        """How many learned queries follow the prompt; the extras must have been loaded."""
        return int(self.connector_module.meta_queries.shape[0])

    def _load_extras(self, attn_implementation: str = "sdpa") -> None:
        """Load language model, tokenizer, connector and prompt template from the folder of the checkpoint.

        Raises:
            FileNotFoundError: the pipeline was not loaded from a local folder that holds them.
        """
        folder = Path(self.config.get("_name_or_path") or "")
        if not (folder / "vlm").is_dir():
            raise FileNotFoundError(
                f"the checkpoint folder {str(folder)!r} has no vlm/; load the pipeline from a complete local folder."
            )
        logger.info("Loading VLM...")
        self.lmm = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder / "vlm", dtype=self.transformer.dtype, attn_implementation=attn_implementation
        ).eval()
        logger.info("Loading tokenizer...")
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", padding_side="left")
        self.prompt_template = json.loads((folder / "prompt_template.json").read_text(encoding="utf-8"))
        logger.info("Loading connector...")
        self.connector_module = Connector(load_file(folder / "connector" / "model.safetensors")).eval()
        self._place_extras()
        logger.info("All components loaded.")

    def _place_extras(self) -> None:
        """Bring the extras, which ``to()`` does not know, to the device and dtype of the transformer."""
        device, dtype = self._execution_device, self.transformer.dtype
        self.lmm.to(device=device, dtype=dtype)
        self.connector_module.to(device=device, dtype=self.lmm.dtype)

    def prepare_text2image_prompts(self, prompts: list[str]) -> dict[str, Tensor]:
        """Token ids and mask [n, longest] of the prompts in their generation template, padded on the left."""
        wrapped = [self.prompt_template["GENERATION"].format(input=prompt) for prompt in prompts]
        return self._tokenize(wrapped)

    def prepare_image2image_prompts(
        self, prompts: list[str], num_refs: list[int], ref_lens: list[int]
    ) -> dict[str, Tensor]:
        """Token ids and mask of edit prompts; ``ref_lens`` lists the picture tokens of all references in a row."""
        template, lengths, wrapped = self.prompt_template, iter(ref_lens), []
        for prompt, count in zip(prompts, num_refs, strict=True):
            pictures = "".join(
                template["IMG_START_TOKEN"] + template["IMG_CONTEXT_TOKEN"] * next(lengths) + template["IMG_END_TOKEN"]
                for _ in range(count)
            )
            wrapped.append(f"{pictures}\n{prompt}")
        return self._tokenize(wrapped)

    def _tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        turns = [self.prompt_template["INSTRUCTION"].format(input=text) for text in texts]
        tokens = self.tokenizer(turns, padding=True, padding_side="left", return_tensors="pt")
        device = self._execution_device
        return {
            "input_ids": tokens["input_ids"].to(device),
            "attention_mask": tokens["attention_mask"].to(device, torch.bool),
        }

    def get_semantic_features_dynamic(self, pixel_values: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Vision tower on pictures [3, h, w] in [-1, 1]: embeddings [all tokens, width] and grid [pictures, 3]."""
        config = self.lmm.config.vision_config
        patches, grids = [], []
        for pixels in pixel_values:
            batch = pixels.to(self._execution_device, self.lmm.dtype)[None]
            size = [side * 28 // 32 for side in pixels.shape[-2:]]
            scaled = functional.interpolate(batch, size=size, mode="bilinear", align_corners=False)
            mean, std = (scaled.new_tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
            patches.append(_vision_patches(((scaled + 1) / 2 - mean) / std, config))
            grids.append([1, size[0] // config.patch_size, size[1] // config.patch_size])
        grid = torch.tensor(grids, device=self._execution_device)
        return self.lmm.visual(torch.cat(patches), grid_thw=grid), grid

    def prepare_forward_input(
        self,
        query_embeds: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        image_embeds: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Embeddings, mask and three-dimensional positions of prompt, pictures and queries [batch, q, width]."""
        batch, queries = query_embeds.shape[:2]
        embeds = self.llm.embed_tokens(input_ids)
        if image_embeds is not None:
            places = (input_ids == self.lmm.config.image_token_id)[..., None].expand_as(embeds)
            embeds = embeds.masked_scatter(places, image_embeds.to(embeds.dtype))
        mask = torch.cat([attention_mask, attention_mask.new_ones(batch, queries)], dim=1)
        ids = torch.cat([input_ids, input_ids.new_zeros(batch, queries)], dim=1)
        positions, _ = self.lmm.model.get_rope_index(ids, image_grid_thw=image_grid_thw, attention_mask=mask.long())
        return {
            "inputs_embeds": torch.cat([embeds, query_embeds.to(embeds.dtype)], dim=1),
            "attention_mask": mask,
            "position_ids": positions,
        }

    def pixels_to_latents(self, x: Tensor) -> Tensor:
        """Pictures [n, 3, h, w] in [-1, 1] -> scaled latents, one draw of the posterior from the global generator."""
        z = self.vae.encode(x).latent_dist.sample()
        latents: Tensor = (z - self.vae.config.shift_factor) * self.vae.config.scaling_factor
        return latents

    def latents_to_pixels(self, z: Tensor) -> Tensor:
        """Scaled latents [n, 16, h, w] -> pictures [n, 3, 8h, 8w], nominally in [-1, 1]."""
        z = z / self.vae.config.scaling_factor + self.vae.config.shift_factor
        pixels: Tensor = self.vae.decode(z).sample
        return pixels

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        image: Image.Image | list[Image.Image] | None = None,
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 50,
        guidance_scale: float = 4.0,
        seed: int | None = None,
        negative_prompt: str = "",
    ) -> ImagePipelineOutput:
        """Draw one picture for each prompt, or edit ``image`` (one or several references for every prompt).

        Raises:
            ValueError: a side is no multiple of 32 or beyond the transformer's position table.
        """
        self._check_size(height, width)
        if self.lmm is None:
            self._load_extras()
        self._place_extras()
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        guided = guidance_scale > 1
        texts = prompts + [negative_prompt] * len(prompts) if guided else prompts
        references = self._reference_pixels(image, height, width)
        pooled, sequence = self._encode(texts, references)
        latents = self._draw_noise(len(prompts), height, width, sequence.dtype, seed)
        conditions = self._reference_latents(references, len(texts))
        if guided:
            # The language model reads prompts before negatives, the transformer negatives before prompts.
            pooled, sequence = (torch.cat(x.chunk(2)[::-1]) for x in (pooled, sequence))
        latents = self._denoise(latents, pooled, sequence, conditions, num_inference_steps, guidance_scale)
        pixels = self.latents_to_pixels(latents.to(self.vae.dtype))
        return ImagePipelineOutput(images=_to_pictures(pixels))

    def _check_size(self, height: int, width: int) -> None:
        config = self.transformer.config
        longest = config.pos_embed_max_size * config.patch_size * self.vae_scale_factor
        for name, side in (("height", height), ("width", width)):
            if side <= 0 or side % SIZE_STEP:
                raise ValueError(f"{name} is {side}; it must be a positive multiple of {SIZE_STEP}.")
            if side > longest:
                raise ValueError(f"{name} is {side}; the position table of this transformer ends at {longest}.")

    def _reference_pixels(self, image: Image.Image | list[Image.Image] | None, height: int, width: int) -> list[Tensor]:
        """The references, scaled to the size of the result without regard to their shape, as [3, h, w] in [-1, 1]."""
        if image is None:
            return []
        pictures = [image] if isinstance(image, Image.Image) else list(image)
        pixels = []
        for picture in pictures:
            scaled = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
            values = torch.from_numpy(np.array(scaled, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1
            pixels.append(values.to(self._execution_device, self.vae.dtype))
        return pixels

    def _encode(self, texts: list[str], references: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Pooled [n, p] and sequence [n, tokens, s] conditioning of n texts that all see the same references."""
        embeds, grid = None, None
        if references:
            embeds, grid = self.get_semantic_features_dynamic(references)
            merge = self.lmm.config.vision_config.spatial_merge_size**2
            lengths = [int(count) // merge for count in grid.prod(dim=1).tolist()]
            tokens = self.prepare_image2image_prompts(
                texts, num_refs=[len(references)] * len(texts), ref_lens=lengths * len(texts)
            )
            embeds, grid = embeds.repeat(len(texts), 1), grid.repeat(len(texts), 1)
        else:
            tokens = self.prepare_text2image_prompts(texts)
        queries = self.connector_module.meta_queries[None].expand(len(texts), -1, -1)
        inputs = self.prepare_forward_input(query_embeds=queries, image_embeds=embeds, image_grid_thw=grid, **tokens)
        states = self.llm(**inputs, output_hidden_states=True, use_cache=False, return_dict=True).hidden_states
        picked = [states[k] for k in range(self.llm.config.num_hidden_layers - 1, 0, -LAYER_STRIDE)]
        pooled, sequence = self.connector_module.llm2dit(torch.cat(picked, dim=-1))
        return pooled.to(self.transformer.dtype), sequence.to(self.transformer.dtype)

    def _draw_noise(self, count: int, height: int, width: int, dtype: torch.dtype, seed: int | None) -> Tensor:
        device = self._execution_device
        generator = None if seed is None else torch.Generator(device).manual_seed(seed)
        factor = self.vae_scale_factor
        shape = (count, self.transformer.config.in_channels, height // factor, width // factor)
        noise: Tensor = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        return noise

    def _reference_latents(self, references: list[Tensor], samples: int) -> list[list[Tensor]] | None:
        if not references:
            return None
        latents = [self.pixels_to_latents(pixels[None])[0].to(self.transformer.dtype) for pixels in references]
        return [latents] * samples

    def _denoise(
        self,
        latents: Tensor,
        pooled: Tensor,
        sequence: Tensor,
        conditions: list[list[Tensor]] | None,
        steps: int,
        guidance_scale: float,
    ) -> Tensor:
        """Euler steps from noise to latents [n, 16, h, w]; conditioning of 2n rows means guidance, negatives first."""
        guided = pooled.shape[0] == 2 * latents.shape[0]
        self.scheduler.set_timesteps(steps, device=latents.device)
        with self.progress_bar(total=steps) as progress:
            for t in self.scheduler.timesteps:
                inputs = torch.cat([latents, latents]) if guided else latents
                velocity = self.transformer(
                    hidden_states=inputs,
                    timestep=t.expand(inputs.shape[0]),
                    encoder_hidden_states=sequence,
                    pooled_projections=pooled,
                    cond_hidden_states=conditions,
                    return_dict=False,
                )[0]
                if guided:
                    negative, positive = velocity.chunk(2)
                    velocity = negative + guidance_scale * (positive - negative)
                latents = self.scheduler.step(velocity, t, latents, return_dict=False)[0]
                progress.update()
        return latents


def _vision_patches(pixels: Tensor, config: Any) -> Tensor:
    """[1, 3, h, w] -> [patches, 3 * frames * side * side], in the window order that the vision tower expects."""
    side, merge, frames = config.patch_size, config.spatial_merge_size, config.temporal_patch_size
    _, channels, height, width = pixels.shape
    rows, columns = height // (side * merge), width // (side * merge)
    blocks = pixels.reshape(channels, rows, merge, side, columns, merge, side).permute(1, 4, 2, 5, 0, 3, 6)
    return blocks.unsqueeze(5).expand(-1, -1, -1, -1, -1, frames, -1, -1).reshape(-1, channels * frames * side * side)


def _to_pictures(pixels: Tensor) -> list[Image.Image]:
    levels = (127.5 * pixels + 128).clamp(0, 255).to(torch.uint8)
    return [Image.fromarray(picture) for picture in levels.permute(0, 2, 3, 1).cpu().numpy()]
