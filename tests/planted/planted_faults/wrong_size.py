"""Gives a picture of half the height that was asked for."""

from harness.contracts import Picture

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        half = picture.image[: picture.image.shape[0] // 2]
        return Picture(image=half, float_image=None, float_image_dtype=None)


load = Fault
