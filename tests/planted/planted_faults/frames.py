"""A pipeline that is its noise and makes videos; a fault is in the arm ``candidate`` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.contracts import Picture
from harness.records import Record

from .toy import Toy, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef

__all__ = ["FRAMES", "OPTIONS", "check", "load"]

FRAMES = True


class Options(Record):
    """What goes wrong."""

    fault: Literal["none", "fewer", "fourth_differs", "fourth_unsteady", "flickers", "nan"] = "none"
    """What is planted in the arm ``candidate``."""


OPTIONS = Options


class Frames(Toy):
    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        super().__init__(folder, model, device)
        self._fault = Options.model_validate(model.options).fault

    def generate_frames(self, request: Request, watch: Watch) -> Iterator[Picture]:
        import torch

        self.count += 1
        total = request.frames or 1
        noise = torch.randn(1, 3, total, request.height // 2, request.width)
        watch.step(noise)
        still = torch.cat([noise, noise], dim=3) / 4
        fault = self._fault if request.arm == "candidate" else "none"
        if fault == "nan":
            still[0, 0, 3, 0, 0] = float("nan")
        watch.decoded("vae", still)
        return self._frames(still, request, fault)

    def _frames(self, still: object, request: Request, fault: str) -> Iterator[Picture]:
        total = (request.frames or 1) - (fault == "fewer")
        for number in range(1, total + 1):
            floats = still[0, :, number - 1].permute(1, 2, 0).numpy().astype(np.float32)  # type: ignore[index]
            image = np.clip(127.5 * floats + 128, 0, 255).astype(np.uint8)
            if number == 4 and (fault == "fourth_differs" or (fault == "fourth_unsteady" and self.count > 1)):
                image[5, 6, 0] ^= np.uint8(1)
            if fault == "flickers":
                image = np.clip(image.astype(np.int16) + (4 if number % 2 else -4), 0, 255).astype(np.uint8)
            kept = number in request.kept_frames
            yield Picture(
                image=image, float_image=floats if kept else None, float_image_dtype="float32" if kept else None
            )


load = Frames
