"""Is killed by the system during the second picture, as when memory runs out."""

import os
import signal
import sys

from .toy import Toy, check

__all__ = ["check", "load"]


class Fault(Toy):
    def before(self) -> None:
        if self.count == 2:
            sys.stdout.write("planted: the last words\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)


load = Fault
