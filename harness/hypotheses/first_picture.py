"""The first picture of a process is another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import recordable

if TYPE_CHECKING:
    from harness.observations import Behaviour

CAUSE = recordable(
    "the first picture of a process differs and later ones do not: something was not ready, such as a copy or a library"
)
SOURCE = "pytorch/pytorch#188792; huggingface/diffusers#12673"


def shown(behaviour: Behaviour) -> bool:
    """Later pictures are equal and right, the first is not."""
    return behaviour.repeats and not behaviour.first_equals_later and behaviour.later_is_right
