"""Takes a second and a half for every picture of the first process, so that a test can interrupt it."""

import sys
import time

from .toy import Toy, check

__all__ = ["check", "load"]


class Fault(Toy):
    def before(self) -> None:
        if first_process():
            time.sleep(1.5)


def first_process() -> bool:
    return sys.argv[-1].endswith("p0.json")


load = Fault
