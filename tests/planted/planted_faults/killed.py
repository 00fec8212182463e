"""Is killed by the system during the second picture, as when memory runs out."""

import os
import signal
import sys

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def before(self) -> None:
        if self.count == 2:
            sys.stdout.write("planted: the last words\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)


load = Fault
