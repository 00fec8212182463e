"""Pictures come in two kinds that take turns without order: 1, 2, 2, 1."""

from planted_faults.wrapped import Wrapped, check, flipped

from harness.contracts import Picture

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        return flipped(picture) if self.count % 4 in {2, 3} else picture


load = Fault
