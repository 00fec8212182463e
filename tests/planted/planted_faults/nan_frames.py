"""A decoder of five-dimensional outputs gives an infinite value, and the picture does not show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .toy import Toy, check

if TYPE_CHECKING:
    from harness.contracts import Picture, Request, Watch

__all__ = ["check", "load"]


class Fault(Toy):
    def generate(self, request: Request, watch: Watch) -> Picture:
        import torch

        frames = torch.zeros(1, 3, 2, 8, 8, dtype=torch.bfloat16)
        frames[0, 0, 1, 0, 0] = float("inf")
        watch.decoded("vae", {"sample": (frames,)})
        return super().generate(request, watch)


load = Fault
