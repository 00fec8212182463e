"""What a pipeline gives is wrong in the way that the prompt names; another prompt gets a picture of the toy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import nan, nan_frames, nan_latents, silent_noise, wrong_size
from .toy import Toy, check

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device, Picture, Request, Watch
    from harness.records import ModelRef

__all__ = ["check", "load"]

FAULTS = {
    "nan": nan,
    "nan-frames": nan_frames,
    "nan-latents": nan_latents,
    "silent-noise": silent_noise,
    "wrong-size": wrong_size,
}


class Fault(Toy):
    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        super().__init__(folder, model, device)
        self._faults = {name: fault.load(folder, model, device) for name, fault in FAULTS.items()}

    def generate(self, request: Request, watch: Watch) -> Picture:
        if request.prompt not in self._faults:
            return super().generate(request, watch)
        picture: Picture = self._faults[request.prompt].generate(request, watch)
        return picture


load = Fault
