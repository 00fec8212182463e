"""The values that a module of the same kind gave before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the values are those of an earlier layer, as from an operator that answers with an old result")
SOURCE = marked("an operator with a cache that is looked up by shapes alone")


def predicted(observed: Observed) -> Iterator[Prediction]:
    """What the same module of earlier layers gave in this step."""
    for values in observed.earlier.values():
        yield Prediction(values=values)
