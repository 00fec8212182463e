"""Takes a second and a half for every picture, so that a test can interrupt it."""

import time

from .toy import Toy, check

__all__ = ["check", "load"]


class Fault(Toy):
    def before(self) -> None:
        time.sleep(1.5)


load = Fault
