"""The toy raises in the middle of its second picture."""

from . import toy
from .crash import Fault as Crash
from .toy import check

__all__ = ["check", "load"]


class Fault(Crash):
    adapter = toy


load = Fault
