"""Is killed by the system during the second picture of the first process; the next process works."""

from .killed import Fault as Killed
from .slow import first_process
from .toy import check

__all__ = ["check", "load"]


class Fault(Killed):
    def before(self) -> None:
        if first_process():
            super().before()


load = Fault
