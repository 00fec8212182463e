"""As slow as its sibling, and so are the next two processes: what was interrupted can be interrupted again."""

import sys
import time

from .toy import Toy, check

__all__ = ["check", "load"]


class Fault(Toy):
    def before(self) -> None:
        if sys.argv[-1].endswith(("p0.json", "p1.json", "p2.json")):
            time.sleep(1)


load = Fault
