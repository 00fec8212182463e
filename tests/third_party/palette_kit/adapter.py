"""A pipeline that paints its noise in one tone of a palette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.contracts import Picture
from harness.records import Record

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef


class Options(Record):
    """How the noise is painted."""

    tone: Literal["red", "green", "blue"] = "red"
    """Channel that is painted."""
    levels: int = Field(default=64, ge=2, le=255)
    """Number of levels."""
    softer: bool = False
    """Whether half of the levels are left out."""

    @model_validator(mode="after")
    def _enough_levels(self) -> Options:
        if self.softer and self.levels < 4:
            raise ValueError("softer needs at least 4 levels. Write a larger number, or remove softer.")
        return self


OPTIONS = Options


def check(folder: Path, model: ModelRef) -> None:
    """Any folder will do."""


class Palette:
    """Makes a picture from one draw of noise."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        self.modules: dict[str, object] = {}
        self.components: dict[str, str] = {}
        self.substitutions: list[str] = []
        self._options = Options.model_validate(model.options)
        self.notes = [f"palette: {self._options.tone}, {self._options.levels} levels"]

    def generate(self, request: Request, watch: Watch) -> Picture:
        import torch

        noise = torch.randn(request.height, request.width)
        watch.step(noise)
        levels = self._options.levels // (2 if self._options.softer else 1)
        image = np.zeros((request.height, request.width, 3), np.uint8)
        channel = ("red", "green", "blue").index(self._options.tone)
        image[..., channel] = ((noise * levels / 4 + levels / 2).clamp(0, levels) * 255 / levels).to(torch.uint8)
        return Picture(image=image, float_image=image.astype(np.float32), float_image_dtype="float32")


load = Palette
