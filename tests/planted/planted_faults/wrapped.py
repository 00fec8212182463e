"""A pipeline with something wrong between it and the harness: the toy, or one that takes longer to load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import toy

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device, Picture, Pipeline, Request, Watch
    from harness.records import ModelRef

check = toy.check


class Wrapped:
    """Delegates to a pipeline and counts the pictures of this process from 1."""

    adapter: Any = toy
    """What loads the pipeline."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        self._pipeline: Pipeline = self.adapter.load(folder, model, device)
        self.modules = self._pipeline.modules
        self.components = self._pipeline.components
        self.substitutions = self._pipeline.substitutions
        self.notes = self._pipeline.notes
        self.count = 0

    def generate(self, request: Request, watch: Watch) -> Picture:
        self.count += 1
        self.before()
        return self.spoil(self._pipeline.generate(request, watch))

    def before(self) -> None:
        """Go wrong before the picture is made."""

    def spoil(self, picture: Picture) -> Picture:
        """Go wrong after the picture is made."""
        return picture


def flipped(picture: Picture) -> Picture:
    """The picture with the lowest bit of one value turned over."""
    image = picture.image.copy()
    image[0, 0, 0] ^= 1
    return type(picture)(image=image, float_image=picture.float_image, float_image_dtype=picture.float_image_dtype)
