"""Calls an operator that torch_npu has no kernel for, so that it would run on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .toy import Toy, check

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contracts import Device
    from harness.records import ModelRef

__all__ = ["check", "load"]


class Fault(Toy):
    """Asks its device for a logarithm of the gamma function before every picture."""

    def __init__(self, folder: Path, model: ModelRef, device: Device) -> None:
        super().__init__(folder, model, device)
        self._place = device.torch_device

    def before(self) -> None:
        import torch

        torch.ones(3, device=self._place).lgamma()


load = Fault
