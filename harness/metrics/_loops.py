"""Which of two ways goes over all pixels: compiled loops, or NumPy while loading the compiler would take longer."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

CELL = 4
"""Rows, and pixels of a row, that are summed together."""

STRIP = 768
"""Values of a row that are worked on together; a multiple of those of a cell."""

EDGE = 3 * CELL * 8
"""Values of a row that the cells which end at its right edge cover."""

BLOCK = 16
"""Side in pixels of the blocks whose differences are summed."""

ROOM = STRIP + EDGE + 30
"""Most values of a row that a strip reads."""

WORTH_COMPILING = 10_000_000
"""Values that NumPy goes over in about the time that loading the compiler takes: 45 ns each, and 0.42 s, on Zen 4."""

_COMPILED = "harness.metrics._kernels"
_gone_over = [0]


def loops(values: int) -> ModuleType:
    """``_kernels`` or ``_arrays`` for so many values; both give the same bits.

    A process begins with NumPy. When it has gone over as much as would have paid for the compiler, it is loaded: no
    process takes more than twice the time of the better choice.
    """
    _gone_over[0] += values
    compiled = _COMPILED in sys.modules or _gone_over[0] > WORTH_COMPILING
    return import_module(_COMPILED if compiled else "harness.metrics._arrays")
