"""A pipeline of a few layers of torch, wide enough for several threads: quick to load, and not only its noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.contracts import Picture

from .toy import Toy, check

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef

__all__ = ["check", "load"]

WIDTH = 256


class Layers(Toy):
    """A convolution, attention among all places, and a sum over them; weights are drawn from the prompt."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        super().__init__(folder, model, device)
        self._dtype = model.dtype

    def generate(self, request: Request, watch: Watch) -> Picture:
        import torch

        own = torch.Generator().manual_seed(sum(request.prompt.encode()))
        dtype = getattr(torch, self._dtype)
        kernel = (torch.randn(WIDTH, 3, 3, 3, generator=own) / 5).to(dtype)
        out = (torch.randn(3, WIDTH, generator=own) / WIDTH**0.5).to(dtype)
        noise = torch.randn(1, 3, request.height, request.width).to(dtype)
        places = torch.nn.functional.conv2d(noise, kernel, padding=1, stride=2).flatten(2).transpose(1, 2)
        mixed = torch.nn.functional.scaled_dot_product_attention(places, places, places)
        latents = noise + (out @ mixed.mean(dim=1)[0]).reshape(1, 3, 1, 1)
        watch.step(latents)
        floats = latents[0].permute(1, 2, 0).contiguous().float()
        image = (127.5 * floats + 128).clamp(0, 255).to(torch.uint8).numpy()
        return Picture(image=image, float_image=floats.numpy().astype(np.float32), float_image_dtype=self._dtype)


load = Layers
