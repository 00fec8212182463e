"""From the second picture on, a draw too many moves the noise of the picture."""

import torch

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def before(self) -> None:
        if self.count > 1:
            torch.randn(1)


load = Fault
