"""A pipeline that is its noise, rounded to the model's type: half precision makes it near float32, and not the same."""

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


FAR = 16
"""Added before the rounding: bfloat16 has steps of an eighth there, so that pictures differ by some levels."""


class Rounded(Toy):
    """The toy in the precision that is asked for."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        super().__init__(folder, model, device)
        self._dtype = model.dtype

    def generate(self, request: Request, watch: Watch) -> Picture:
        import torch

        noise = torch.randn(request.height, request.width, 3)
        far = (noise + FAR).to(getattr(torch, self._dtype))
        watch.step(far)
        floats = far.float() - FAR
        image = (127.5 * floats + 128).clamp(0, 255).to(torch.uint8).numpy()
        return Picture(image=image, float_image=floats.numpy().astype(np.float32), float_image_dtype=self._dtype)


load = Rounded
