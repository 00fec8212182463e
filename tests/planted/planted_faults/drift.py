"""The third picture of every process and all that follow differ by one bit."""

from planted_faults.wrapped import Wrapped, check, flipped

from harness.contracts import Picture

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        return flipped(picture) if self.count >= 3 else picture


load = Fault
