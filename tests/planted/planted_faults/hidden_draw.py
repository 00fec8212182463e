"""Draws with a function that the harness does not control."""

import torch

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def before(self) -> None:
        torch.rand(1)


load = Fault
