"""A pipeline that is its noise: quick to load, for tests of processes rather than of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.contracts import Picture

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef


def check(folder: Path, model: ModelRef) -> None:
    """Any folder will do."""


class Toy:
    """Makes a picture from one draw of noise and counts the pictures of this process from 1."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        self.modules: dict[str, object] = {}
        self.components: dict[str, str] = {}
        self.substitutions: list[str] = []
        self.notes = ["toy"]
        self.count = 0

    def generate(self, request: Request, watch: Watch) -> Picture:
        import torch

        self.count += 1
        self.before()
        noise = torch.randn(request.height, request.width, 3)
        watch.step(noise)
        image = (127.5 * noise + 128).clamp(0, 255).to(torch.uint8).numpy()
        return Picture(image=image, float_image=noise.numpy().astype(np.float32), float_image_dtype="float32")

    def before(self) -> None:
        """Go wrong before the picture is made."""


load = Toy
