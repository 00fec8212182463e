"""In half precision a block of 16 x 16 pixels comes out as garbage; in float32 nothing is wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from harness.adapters import deepgen

from .wrapped import Wrapped

if TYPE_CHECKING:
    from harness.contracts import Picture

__all__ = ["check", "load"]

check = deepgen.check


class Fault(Wrapped):
    adapter = deepgen

    def spoil(self, picture: Picture) -> Picture:
        if picture.float_image_dtype == "float32":
            return picture
        image = picture.image.copy()
        image[20:36, 24:40] = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return dataclasses.replace(picture, image=image)


load = Fault
