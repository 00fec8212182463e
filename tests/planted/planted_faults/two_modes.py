"""Pictures come in two kinds that take turns without order: 1, 2, 2, 1."""

from harness.contracts import Picture

from .wrapped import Wrapped, check, flipped

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        return flipped(picture) if self.count % 4 in {2, 3} else picture


load = Fault
