"""Python's garbage collector while a worker starts."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEVER = 2**31 - 1


@contextmanager
def without_full_collections() -> Iterator[None]:
    """No pass over all objects, as long as this lasts; new ones are collected as ever.

    Importing torch, diffusers and transformers makes some 400,000 objects that all stay. Looking at all of them
    again and again was a sixth of the time of these imports.
    """
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
