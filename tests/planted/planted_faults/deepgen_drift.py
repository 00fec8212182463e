"""The third picture of every process and all that follow differ by one bit, behind a pipeline of DeepGen."""

from harness.adapters import deepgen

from .drift import Fault as Drift

__all__ = ["check", "load"]

check = deepgen.check


class Fault(Drift):
    adapter = deepgen


load = Fault
