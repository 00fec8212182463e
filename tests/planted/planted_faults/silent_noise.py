"""Makes pictures without any draw that could be seen."""

import numpy as np

from harness.contracts import Picture, Request, Watch

from .wrapped import check

__all__ = ["check", "load"]


class Fault:
    modules: dict[str, object] = {}  # noqa: RUF012 - never changed
    components: dict[str, str] = {}  # noqa: RUF012 - never changed
    substitutions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, *words: object) -> None:
        """Load nothing."""

    def generate(self, request: Request, watch: Watch) -> Picture:
        image = np.zeros((request.height, request.width, 3), np.uint8)
        return Picture(image=image, float_image=None, float_image_dtype=None)


load = Fault
