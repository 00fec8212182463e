"""The decoder's output holds a NaN that the 8-bit picture does not show."""

import numpy as np

from harness.contracts import Picture

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def spoil(self, picture: Picture) -> Picture:
        assert picture.float_image is not None
        floats = picture.float_image.copy()
        floats[3, 4, 1] = np.nan
        return Picture(image=picture.image, float_image=floats, float_image_dtype=picture.float_image_dtype)


load = Fault
