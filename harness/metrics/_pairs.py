"""One pair at a time: what several metrics need is made once, and the work is shared out among threads."""

from __future__ import annotations

import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

Made = TypeVar("Made")

_LEAST_ROWS = 128
"""Rows below which another thread costs more than it saves."""


def once_for_a_pair(make: Callable[..., Made]) -> Callable[..., Made]:
    """Keep what ``make(actual, expected, *more)`` gave for the last pair, as long as both arrays live.

    Only arrays on ``bytes`` are remembered: nobody can change them in place, so the same two objects are the same two
    pictures. For any other array it is made anew each time. What is kept must not be changed by who gets it.
    """
    kept: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[Hashable, ...], Made]] = {}

    @wraps(make)
    def remembering(actual: NDArray[Any], expected: NDArray[Any], *more: Hashable) -> Made:
        if last := kept.get("last"):
            kept_actual, kept_expected, other, made = last
            if kept_actual() is actual and kept_expected() is expected and other == more:
                return made
        made = make(actual, expected, *more)
        if _unchanging(actual) and _unchanging(expected):
            refs = [weakref.ref(array, lambda _: kept.clear()) for array in (actual, expected)]
            kept["last"] = (refs[0], refs[1], more, made)
        return made

    return remembering


def _unchanging(array: NDArray[Any]) -> bool:
    return isinstance(array.base, bytes)


def threads(rows: int) -> int:
    """Threads that are worth it for so many rows: at most ``OMP_NUM_THREADS``, or the processors of this process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    allowed = int(asked) if asked.isdecimal() and int(asked) else len(os.sched_getaffinity(0))
    return max(1, min(allowed, rows // _LEAST_ROWS))


def in_bands(work: Callable[[int, int], Made], rows: int) -> list[Made]:
    """Call ``work(top, bottom)`` for bands of rows, one for each thread, and give the results from the top down.

    Where the bands lie depends on the number of threads, so a row's result must not depend on its band. All but the
    last end at a multiple of 4 rows.
    """
    number = threads(rows)
    if number == 1:
        return [work(0, rows)]
    edges = [rows * k // number // 4 * 4 for k in range(number)] + [rows]
    others = [_pool(number - 1).submit(work, *band) for band in pairwise(edges[1:])]
    return [work(*edges[:2]), *(future.result() for future in others)]


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    """Threads that wait for the next pair: to start them takes a tenth of the time of a pair."""
    return ThreadPoolExecutor(size, thread_name_prefix="bands")


# A child made by fork has the pool but none of its threads.
os.register_at_fork(after_in_child=_pool.cache_clear)
