"""Every picture is darker than the model made it."""

from harness.adapters import deepgen
from harness.contracts import Picture

from .wrapped import Wrapped

__all__ = ["check", "load"]

check = deepgen.check


class Fault(Wrapped):
    adapter = deepgen

    def spoil(self, picture: Picture) -> Picture:
        image = picture.image // 2
        return Picture(image=image, float_image=picture.float_image, float_image_dtype=picture.float_image_dtype)


load = Fault
