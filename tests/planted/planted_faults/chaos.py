"""Quick to load; a picture of which the last bit of the noise decides everything, so that no limit can hold it."""

from __future__ import annotations

import hashlib
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
        digest = hashlib.sha256(noise.numpy().tobytes()).digest()
        image = np.random.default_rng(list(digest)).integers(0, 256, noise.shape, dtype=np.uint8)
        return Picture(image=image, float_image=None, float_image_dtype=None)


load = Fault
