"""Takes a second and a half for every picture, so that a test can interrupt it."""

import time

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def before(self) -> None:
        time.sleep(1.5)


load = Fault
