"""A pipeline that is its noise and makes several pictures in one call; a fault is in the arm ``candidate`` alone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.contracts import Picture
from harness.records import Record

from .slow import first_process
from .toy import Toy, check

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef

__all__ = ["OPTIONS", "SEVERAL_PICTURES", "check", "load"]

SEVERAL_PICTURES = True


class Options(Record):
    """What goes wrong."""

    fault: Literal["none", "same", "fewer", "third_darker", "second_unsteady", "killed_half_stored"] = "none"
    """What is planted in the arm ``candidate``."""


OPTIONS = Options


class Several(Toy):
    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        super().__init__(folder, model, device)
        self._fault = Options.model_validate(model.options).fault
        if self._fault == "killed_half_stored" and first_process():
            _die_at_the_third_record()

    def generate_several(self, request: Request, watch: Watch) -> list[Picture]:
        import torch

        self.count += 1
        noise = torch.randn(request.pictures, request.height, request.width, 3)
        watch.step(noise)
        levels = (127.5 * noise + 128).clamp(0, 255).to(torch.uint8).numpy()
        made = [
            Picture(image=image, float_image=floats.numpy().astype(np.float32), float_image_dtype="float32")
            for image, floats in zip(levels, noise, strict=True)
        ]
        return self._spoilt(made) if request.arm == "candidate" else made

    def _spoilt(self, made: list[Picture]) -> list[Picture]:
        match self._fault:
            case "same":
                return [made[0]] * len(made)
            case "fewer":
                return made[:-1]
            case "third_darker":
                made[2] = replace(made[2], image=made[2].image // np.uint8(2))
            case "second_unsteady" if self.count > 1:
                made[1] = replace(made[1], image=made[1].image ^ np.uint8(1))
            case _:
                pass
        return made


def _die_at_the_third_record() -> None:
    """End the worker by SIGKILL when two records are written and the third one is about to be."""
    from harness.run.worker.sample_files import ArtifactStore

    write = ArtifactStore.write
    written: list[object] = []

    def writing(store: ArtifactStore, sample: object) -> None:
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(sample)
        write(store, sample)  # type: ignore[arg-type]

    ArtifactStore.write = writing  # type: ignore[method-assign,assignment]


load = Several
