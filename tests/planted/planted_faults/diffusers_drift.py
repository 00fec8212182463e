"""The second picture of every process differs by one bit, behind a pipeline of diffusers."""

from harness.adapters import diffusers
from harness.contracts import Picture

from .wrapped import Wrapped, flipped

__all__ = ["check", "load"]

check = diffusers.check


class Fault(Wrapped):
    adapter = diffusers

    def spoil(self, picture: Picture) -> Picture:
        return flipped(picture) if self.count == 2 else picture


load = Fault
