"""Every picture of the toy is darker than it was made."""

from . import toy
from .darker import Fault as Darker
from .toy import check

__all__ = ["check", "load"]


class Fault(Darker):
    adapter = toy


load = Fault
