"""Comparing: stored runs become measurements, measurements become verdicts; nothing is run here.

The package can be called: ``harness.compare(actual, expected)``, with what ``harness.compare.objects.compare`` takes. A
function of that name beside a folder of that name would be the one or the other, by which was imported first.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.compare.objects import Compared
    from harness.images import Alpha
    from harness.picture_objects import Layout


class _Callable(ModuleType):
    """The package, which compares two pictures where it is called."""

    def __call__(
        self,
        actual: Any,
        expected: Any,
        *,
        data_range: tuple[float, float] | None = None,
        layout: Layout | None = None,
        alpha: Alpha | None = None,
    ) -> Compared:
        """As ``harness.compare.objects.compare``."""
        from harness.compare.objects import compare

        return compare(actual, expected, data_range=data_range, layout=layout, alpha=alpha)


sys.modules[__name__].__class__ = _Callable
