"""Gives a picture of half the height that was asked for."""

from planted_faults.wrapped import Wrapped, check

from harness.contracts import Picture

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        half = picture.image[: picture.image.shape[0] // 2]
        return Picture(image=half, float_image=None, float_image_dtype=None)


load = Fault
