"""The third picture of every process and all that follow differ by one bit."""

from harness.contracts import Picture

from .wrapped import Wrapped, check, flipped

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        return flipped(picture) if self.count >= 3 else picture


load = Fault
