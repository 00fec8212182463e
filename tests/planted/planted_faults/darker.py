"""Every picture is darker than the model made it."""

from harness.contracts import Picture

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        image = picture.image // 2
        return Picture(image=image, float_image=picture.float_image, float_image_dtype=picture.float_image_dtype)


load = Fault
