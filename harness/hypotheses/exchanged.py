"""The values of another module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the values are those of another module beside it, such as query for key")
SOURCE = marked("query and key projections read from a fused weight in another order")


def predicted(observed: Observed) -> Iterator[Prediction]:
    """What other modules of the same caller give."""
    for values in observed.others.values():
        yield Prediction(values=values)
