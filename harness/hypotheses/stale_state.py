"""State kept from the picture or step before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import marked, recordable

if TYPE_CHECKING:
    from harness.observations import Behaviour

CAUSE = recordable("state is kept from the picture or step before, such as a cache that is not emptied")
SOURCE = marked("reset issues of TeaCache; pytorch/pytorch#139550")


def shown(behaviour: Behaviour) -> bool:
    """Right alone and wrong after another picture; or wrong on its own and right when it is forced."""
    clean_alone = behaviour.repeats and behaviour.right_when_forced and not behaviour.later_is_right
    return behaviour.right_before_another or clean_alone
