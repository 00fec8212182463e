"""Comparing: stored runs become measurements, measurements become verdicts; nothing is run here.

The package can be called: ``harness.compare(actual, expected)``. A function of that name beside a folder of that name
would be the one or the other, by which was imported first.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.compare.objects import Compared


class _Callable(ModuleType):
    """The package, which compares two pictures where it is called."""

    def __call__(self, actual: Any, expected: Any, **options: Any) -> Compared:
        """As ``harness.compare.objects.compare``."""
        from harness.compare.objects import compare

        return compare(actual, expected, **options)


sys.modules[__name__].__class__ = _Callable
