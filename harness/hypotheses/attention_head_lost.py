"""A head of attention lost at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the last head of attention gives what the head before it gives")
SOURCE = marked("an attention kernel that loses a head; like pytorch/pytorch#132004")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """A head of attention lost at the end."""

    def attention(right: Any, q: Any, k: Any, v: Any, *given: Any, **options: Any) -> Any:
        made = right(q, k, v, *given, **options).clone()
        if made.shape[-3] > 1:
            made[..., -1, :, :] = made[..., -2, :, :]
        return made

    yield {"scaled_dot_product_attention": attention}
