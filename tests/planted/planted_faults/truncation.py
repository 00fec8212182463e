"""In half precision the decimals are cut off on the way to 8 bits; in float32 they are rounded as ever."""

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
        if picture.float_image is None or picture.float_image_dtype == "float32":
            return picture
        levels = np.clip((picture.float_image.astype(np.float64) + 1) * 127.5, 0, 255)
        return dataclasses.replace(picture, image=np.floor(levels).astype(np.uint8))


load = Fault
