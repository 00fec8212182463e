"""Simulated cards in this process: load the stand-in, install the kernels, lose a card."""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from typing import TYPE_CHECKING

from tests.ascend_sim import build

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def preload() -> ctypes.PyDLL:
    """Load the stand-in for CANN, before torch is imported; a second call does nothing.

    A library that is loaded under its soname satisfies later needs of that name, so no search path has to be set.
    Returns the runtime library.

    Raises:
        build.SimulationUnavailable: It cannot be built here.
    """
    folder = build.libraries()
    # PyDLL: the calls into it from Python take less time than giving up the interpreter's lock and taking it again.
    loaded = {name: ctypes.PyDLL(str(folder / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL) for name in build.LIBRARIES}
    runtime = loaded[build.RUNTIME]
    runtime.ascend_sim_lose_card_after.argtypes = (ctypes.c_long,)
    return runtime


def install() -> None:
    """Give torch_npu's operators values, once torch_npu is imported; a second call does nothing.

    Rounding and faults are taken from ``ASCEND_SIM_VALUES`` and ``ASCEND_SIM_FAULTS``.

    Raises:
        ValueError: One of them has a name that does not exist.
    """
    from tests.ascend_sim import faults, kernels, values

    values.from_environment()
    faults.from_environment()
    kernels.install()


@contextlib.contextmanager
def lost(card: int) -> Iterator[None]:
    """The card does not answer inside the block: its launches, copies, allocations and synchronisation fail.

    Only with ``TASK_QUEUE_ENABLE=0`` can the process go on afterwards: torch_npu's queue runs nothing after an error.
    """
    runtime = preload()
    runtime.ascend_sim_lose_card(card)
    try:
        yield
    finally:
        runtime.ascend_sim_restore_card(card)


@contextlib.contextmanager
def lost_at_launch(number: int, count: int) -> Iterator[None]:
    """The card of the block's ``number``-th operator launch (1 is the next) is lost from then on to the block's end.

    ``count`` is the number of cards that the process sees; all of them work again afterwards.
    """
    runtime = preload()
    runtime.ascend_sim_lose_card_after(number)
    try:
        yield
    finally:
        runtime.ascend_sim_lose_card_after(0)
        for card in range(count):
            runtime.ascend_sim_restore_card(card)
