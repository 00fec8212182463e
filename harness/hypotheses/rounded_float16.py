"""Values rounded to float16 on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.formulas import rounded
from harness.language import marked, recordable
from harness.observations import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.observations import Observed

CAUSE = recordable("the values are rounded to float16 on the way")
SOURCE = marked("documentation of autocast; huggingface/diffusers#13298")


def predicted(observed: Observed) -> Iterator[Prediction]:
    """The values that a cast to float16 and back leaves; nothing for a type that is no wider."""
    if observed.dtype in {"float32", "float64"}:
        yield Prediction(values=rounded(observed.expected, "float16"))
