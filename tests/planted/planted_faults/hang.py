"""Never ends the first picture."""

import sys
import time

from .toy import Toy, check

__all__ = ["check", "load"]


class Fault(Toy):
    def before(self) -> None:
        sys.stdout.write("planted: now it hangs\n")
        sys.stdout.flush()
        time.sleep(3600)


load = Fault
