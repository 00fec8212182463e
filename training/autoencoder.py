"""Stage 1: the autoencoder, on quarter pictures, with a decoder that forgives small faults of latents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.world import GROUNDS, SIDE
from training.batches import generator_of, pixels, random_of
from training.model import AUTOENCODER
from training.world import EDIT_WEIGHTS, TEXT_WEIGHTS, draw_mixed

if TYPE_CHECKING:
    from random import Random

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

CROP = SIDE // 2
TEXT_SHARE = 0.5
DIVERGENCE_WEIGHT = 1e-4
EDGE_WEIGHT = 0.5
LARGEST_FAULT = 0.2
"""Standard deviation of what is added to latents before decoding, as a share of that of the latents."""


class AutoencoderStage:
    """L1, L2, edges and a weak divergence."""

    name = "autoencoder"
    steps: int | None = 8_000
    tail_steps = 3_200
    average_decay = 0.999

    def __init__(self, device: str = "cpu", batch: int = 16) -> None:
        torch.manual_seed(0)
        self.module = AutoencoderKL(**AUTOENCODER).to(device=device, memory_format=torch.channels_last)
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(self.module.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.0)
        ]
        self._device, self._batch = device, batch

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Reconstruction of one batch of crops; of fewer whole pictures every eighth step."""
        rng, generator = random_of(self.name, step), generator_of(self.name, step)
        whole = step % 8 == 0
        count = self._batch // 3 if whole else self._batch
        pictures = [some_picture(rng) if whole else _crop(some_picture(rng), rng) for _ in range(count)]
        x = pixels(pictures).to(self._device, memory_format=torch.channels_last)
        posterior = self.module.encode(x).latent_dist
        z = posterior.mean + posterior.std * _normal(posterior.mean, generator)
        fault = LARGEST_FAULT * torch.rand(count, 1, 1, 1, generator=generator).to(x)
        error = self.module.decode(z + fault * z.detach().std() * _normal(z, generator)).sample - x
        edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        divergence = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        square = error.square().mean()
        loss = error.abs().mean() + square + EDGE_WEIGHT * edges + DIVERGENCE_WEIGHT * divergence
        psnr = 10 * torch.log10(4 / square.detach())
        details = {
            "psnr_db": psnr,
            "divergence": divergence,
            "posterior_std": posterior.std.mean(),
            "latent_std": z.std(),
        }
        return loss, {name: float(value.detach()) for name, value in details.items()}

    @torch.no_grad()
    def conclude(self) -> dict[str, Any]:
        """Scale and shift that make latents standard, and how well fresh pictures come back."""
        rng = random_of(self.name, "conclude")
        x = pixels([some_picture(rng) for _ in range(256)]).to(self._device)
        posteriors = [self.module.encode(part).latent_dist for part in x.split(32)]
        means = torch.cat([posterior.mean for posterior in posteriors])
        back = torch.cat([self.module.decode(part).sample for part in means.split(32)]).clamp(-1, 1)
        return {
            "scaling_factor": float(1 / means.std()),
            "shift_factor": float(means.mean()),
            "psnr_db": float(10 * torch.log10(4 / (back - x).square().mean())),
            "channel_std": [round(float(value), 4) for value in means.std(dim=(0, 2, 3))],
            "posterior_std": float(torch.cat([posterior.std for posterior in posteriors]).mean()),
        }


def some_picture(rng: Random) -> NDArray[np.uint8]:
    """A picture of the world ``uint8[128, 128, 3]``; one in three gets another ground, where latents are hardest."""
    example = draw_mixed(TEXT_WEIGHTS if rng.random() < TEXT_SHARE else EDIT_WEIGHTS, rng)
    scene = rng.choice([example.scene, example.source or example.scene])
    if scene.sign is None and rng.randrange(3) == 0:
        taken = {thing.colour for thing in scene.things}
        scene = replace(scene, ground=rng.choice([name for name in GROUNDS if name not in taken]))
    return draw_scene(scene)


def _crop(picture: NDArray[np.uint8], rng: Random) -> NDArray[np.uint8]:
    top, left = rng.randrange(SIDE - CROP + 1), rng.randrange(SIDE - CROP + 1)
    return picture[top : top + CROP, left : left + CROP]


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like)
