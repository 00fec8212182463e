"""From the second step on a part of the latents is NaN, and the picture does not show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.contracts import Picture

from .toy import Toy, check

if TYPE_CHECKING:
    from harness.contracts import Request, Watch

__all__ = ["check", "load"]


class Fault(Toy):
    def generate(self, request: Request, watch: Watch) -> Picture:
        import torch

        noise = torch.randn(request.height, request.width, 3)
        watch.step(noise)
        spoilt = noise.clone()
        spoilt[:16] = float("nan")
        watch.step(spoilt)
        image = (127.5 * spoilt + 128).nan_to_num(0).clamp(0, 255).to(torch.uint8).numpy()
        return Picture(image=np.asarray(image), float_image=None, float_image_dtype=None)


load = Fault
