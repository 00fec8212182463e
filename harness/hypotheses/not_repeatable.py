"""No two pictures are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.observations import Behaviour

CAUSE = recordable(
    "the same picture comes out differently each time: a race, sums in an order that changes, or memory that was "
    "never written"
)
SOURCE = marked("vllm-project/vllm-omni#5782; sums of atomics, whose order changes")


def shown(behaviour: Behaviour) -> bool:
    """Later pictures of one case and seed differ from each other."""
    return not behaviour.repeats
